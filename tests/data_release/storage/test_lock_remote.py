"""``admlops data lock`` on objects of a real S3 server."""

import hashlib
import json
import subprocess

import pytest
from click.testing import CliRunner
from release_files import BUNDLE, make_record
from s3_server import profiles_of

from admlops.cli.main import admlops
from admlops.data_release import Integrity
from admlops.data_release.repository.lock import UnlockableError, lock
from admlops.data_release.storage import fetch_object
from admlops.errors import DataReleaseError

URL = "obs://lists/day/高速.jsonl"
KEY = "day/高速.jsonl"


def lines(*sample_ids):
    return b"".join(json.dumps(make_record(sample_id)).encode() + b"\n" for sample_id in sample_ids)


@pytest.fixture
def repo(tmp_path, s3, document):
    root = tmp_path / "release"
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    document["dataset_index"] = [{"name": "people", "obs_path": URL, "bundle_versions": [BUNDLE], "task_tags": ["det_person"]}]
    (root / "training_dataset.json").write_text(json.dumps(document, indent=2))
    endpoint = s3.meta.endpoint_url
    (root / "data_release.yaml").write_text(
        f"storage: {{here: {{scheme: obs, endpoint: '{endpoint}', region: us-east-1, addressing: path}}}}\n"
    )
    s3.put_object(Bucket="lists", Key=KEY, Body=lines("a", "b"))
    return root


def recorded(repo):
    (entry,) = json.loads((repo / "training_dataset.json").read_text())["dataset_index"]
    return entry["integrity"]


def test_an_object_is_pinned_and_then_on_this_machine(repo, s3):
    lock(repo)
    body = lines("a", "b")
    expected = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "num_samples": 2}
    assert recorded(repo) == expected
    s3.delete_object(Bucket="lists", Key=KEY)  # training needs the store no more
    assert fetch_object(URL, integrity=Integrity(**expected), profiles=profiles_of(s3)).read_bytes() == body


def test_an_object_overwritten_or_cut_at_a_newline_behind_the_lock_is_noticed(repo, s3):
    lock(repo)
    s3.put_object(Bucket="lists", Key=KEY, Body=lines("a"))
    (entry,) = lock(repo, check=True).differing
    assert (entry.recorded.num_samples, entry.measured.num_samples) == (2, 1)
    assert entry.measured.bytes == len(lines("a"))


def test_the_version_of_a_bucket_that_keeps_them_is_pinned(repo, s3):
    s3.put_bucket_versioning(Bucket="lists", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="lists", Key=KEY, Body=lines("a", "b", "c"))["VersionId"]
    lock(repo)
    assert (recorded(repo)["version_id"], recorded(repo)["num_samples"]) == (version, 3)
    s3.put_object(Bucket="lists", Key=KEY, Body=lines("a"))
    assert not lock(repo, check=True).ok


def test_a_bad_line_is_told_with_the_url_not_with_the_copy(repo, s3):
    s3.put_object(Bucket="lists", Key=KEY, Body=lines("a") + b"{1}\n")
    with pytest.raises(UnlockableError) as caught:
        lock(repo, deep=True)
    assert caught.value.problems[0].where == f"{URL}:2:2 (byte {len(lines('a')) + 1})"


def test_a_damaged_copy_under_the_hash_is_replaced(repo, s3, cache_dir):
    lock(repo)
    blob = cache_dir / "blobs" / "sha256" / recorded(repo)["sha256"][:2] / recorded(repo)["sha256"]
    blob.unlink()
    blob.write_bytes(lines("x"))
    assert lock(repo, check=True).ok
    assert blob.read_bytes() == lines("a", "b")


def test_a_missing_object_is_an_io_error(repo, s3):
    s3.delete_object(Bucket="lists", Key=KEY)
    answer = CliRunner().invoke(admlops, ["data", "lock", "--repo", str(repo)])
    assert (answer.exit_code, "[E401]" in answer.stderr) == (3, True)


def test_an_object_overwritten_while_it_is_read_is_refused(repo, s3, monkeypatch):
    from admlops.data_release.repository import lock as module

    s3.put_bucket_versioning(Bucket="lists", VersioningConfiguration={"Status": "Enabled"})
    stat = module.stat_object

    def overwritten_first(url, **options):
        s3.put_object(Bucket="lists", Key=KEY, Body=lines("c"))
        return stat(url, **options)

    monkeypatch.setattr(module, "stat_object", overwritten_first)
    with pytest.raises(DataReleaseError) as caught:
        lock(repo)
    assert caught.value.code == "E406"
    assert "integrity" not in (repo / "training_dataset.json").read_text()
