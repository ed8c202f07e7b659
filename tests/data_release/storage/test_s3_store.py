"""``obs://`` and ``s3://`` against a real S3 server on a real socket."""

import hashlib

import pytest
from s3_server import BODY, profiles_of

from admlops.data_release import Integrity
from admlops.data_release.storage import StorageProfiles, TransferLimits, fetch_object, stat_object
from admlops.errors import DataReleaseError

QUICK = TransferLimits(stall_s=5, deadline_s=20, attempts=2, backoff_s=0.01)


def pinned(body=BODY, version_id=None):
    return Integrity(sha256=hashlib.sha256(body).hexdigest(), bytes=len(body), num_samples=1, version_id=version_id)


def test_obs_goes_to_the_endpoint_of_its_profile(s3):
    put = s3.put_object(Bucket="lists", Key="a b/高速?#%.jsonl", Body=BODY)
    profiles = profiles_of(s3)
    url = "obs://lists/a b/高速?#%.jsonl"
    path = fetch_object(url, profiles=profiles, limits=QUICK)
    assert path.read_bytes() == BODY
    assert "unverified" in path.parts
    assert fetch_object(url, profiles=profiles, limits=QUICK) == path
    info = stat_object(url, profiles=profiles)
    assert (info.size, info.etag) == (len(BODY), put["ETag"])


def test_a_pinned_object_lies_under_its_hash_and_needs_the_store_once(s3, cache_dir):
    s3.put_object(Bucket="lists", Key="k", Body=BODY)
    path = fetch_object("s3://lists/k", integrity=pinned(), profiles=profiles_of(s3))
    sha256 = pinned().sha256
    assert path == cache_dir / "blobs" / "sha256" / sha256[:2] / sha256
    s3.delete_object(Bucket="lists", Key="k")
    assert fetch_object("s3://lists/k", integrity=pinned(), profiles=profiles_of(s3)) == path


def test_bytes_damaged_in_the_cache_are_fetched_again(s3):
    s3.put_object(Bucket="lists", Key="k", Body=BODY)
    path = fetch_object("s3://lists/k", integrity=pinned(), profiles=profiles_of(s3))
    path.write_bytes(b"x" * len(BODY))
    assert fetch_object("s3://lists/k", integrity=pinned(), profiles=profiles_of(s3)).read_bytes() == BODY


def test_an_object_overwritten_behind_the_tag_is_named(s3, cache_dir):
    s3.put_object(Bucket="lists", Key="k", Body=b"other" * 9)
    same_size = bytes(reversed(BODY))
    for body in (b"other" * 9, same_size):
        put = s3.put_object(Bucket="lists", Key="k", Body=body)
        with pytest.raises(DataReleaseError, match="changed behind the tag") as caught:
            fetch_object("s3://lists/k", integrity=pinned(), profiles=profiles_of(s3))
        assert caught.value.code == "E402"
        assert caught.value.where == "s3://lists/k"
        assert put["ETag"] in str(caught.value)
    assert not [path for path in (cache_dir / "blobs").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_pinned_version_is_read_although_the_object_was_overwritten(s3):
    s3.put_bucket_versioning(Bucket="lists", VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket="lists", Key="k", Body=BODY)["VersionId"]
    new = s3.put_object(Bucket="lists", Key="k", Body=b"new")["VersionId"]
    profiles = profiles_of(s3)
    assert stat_object("s3://lists/k", profiles=profiles).version_id == new
    assert stat_object("s3://lists/k", profiles=profiles, version_id=old).size == len(BODY)
    assert fetch_object("s3://lists/k", integrity=pinned(version_id=old), profiles=profiles).read_bytes() == BODY
    with pytest.raises(DataReleaseError) as caught:
        fetch_object("s3://lists/k", integrity=pinned(b"more", version_id=new), profiles=profiles)
    assert (caught.value.code, new in str(caught.value.got)) == ("E402", True)
    s3.delete_object(Bucket="lists", Key="k", VersionId=new)
    with pytest.raises(DataReleaseError, match="version") as caught:
        fetch_object("s3://lists/k", integrity=pinned(b"more", version_id=new), profiles=profiles)
    assert caught.value.code == "E401"


@pytest.mark.parametrize(
    ("url", "what"), [("s3://lists/nothing", "no such object"), ("s3://nowhere/key", "no such bucket"), ("s3://B!/k", "bucket")]
)
def test_missing_object_and_bucket(s3, url, what):
    with pytest.raises(DataReleaseError, match=what) as caught:
        fetch_object(url, profiles=profiles_of(s3))
    assert (caught.value.code, str(caught.value.where).startswith(url)) == ("E401", True)
    assert "Signature" not in str(caught.value)


def test_no_credentials(s3, monkeypatch):
    from admlops.data_release.storage import s3_store

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3_store._client.cache_clear()
    with pytest.raises(DataReleaseError, match="no credentials") as caught:
        fetch_object("s3://lists/k", profiles=profiles_of(s3))
    assert (caught.value.code, "AWS_ACCESS_KEY_ID" in caught.value.remedy) == ("E401", True)


def test_obs_needs_a_profile():
    with pytest.raises(DataReleaseError, match="no storage profile") as caught:
        fetch_object("obs://lists/k")
    assert caught.value.code == "E124"


def test_without_boto3_the_extra_is_named(s3, monkeypatch):
    from admlops.data_release.storage import s3_store

    s3_store._client.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(Exception, match="boto3") as caught:
        fetch_object("s3://lists/k", profiles=profiles_of(s3))
    assert "admlops[s3]" in str(caught.value)


def test_a_profile_is_signed_as_other_services_want_it(s3):
    from admlops.data_release.storage.s3_store import S3Store

    profiles = StorageProfiles.parse(
        {"hw": {"scheme": "obs", "endpoint": "https://obs.cn-north-4.myhuaweicloud.com", "region": "cn-north-4"}}, "file"
    )
    signed = S3Store.of("obs://lists/k", profiles).sign("GET", "obs://lists/k", None)
    assert signed.startswith("https://lists.obs.cn-north-4.myhuaweicloud.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256")
    assert "%2Fcn-north-4%2Fs3%2F" in signed
    assert "checksum" not in signed.lower()
