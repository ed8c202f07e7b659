"""A release whose index files and images lie in a bucket, from a repository at a tag."""

import hashlib
import json
import subprocess

import pytest
from click.testing import CliRunner
from release_files import make_record, write_release

from admlops.cli.main import admlops
from admlops.data_release import JsonlIndex, open_release
from admlops.data_release.repository.fetch import fetch
from admlops.errors import DataReleaseError

LIST = b"".join(json.dumps(make_record(name)).encode() + b"\n" for name in ("p0", "p1"))


def git(root, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repo(s3, document, tmp_path):
    s3.put_object(Bucket="lists", Key="train/people.jsonl", Body=LIST)
    for name in ("p0", "p1"):
        s3.put_object(Bucket="lists", Key=f"train/images/{name}.png", Body=b"png" + name.encode())
    people, joint = document["dataset_index"]
    people["obs_path"] = joint["obs_path"] = "obs://lists/train/people.jsonl"
    people["integrity"] = {"sha256": hashlib.sha256(LIST).hexdigest(), "bytes": len(LIST), "num_samples": 2}
    root = write_release(tmp_path / "repo", document)
    tasks = {task: {"display_name": task} for task in document["meta"]["tasks"]}
    storage = {"here": {"scheme": "obs", "endpoint": s3.meta.endpoint_url, "region": "us-east-1", "addressing": "path"}}
    (root / "data_release.yaml").write_text(json.dumps({"schema_version": 1, "tasks": tasks, "storage": storage}))
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "release")
    git(root, "tag", "v1")
    return root


def test_relative_paths_of_a_remote_index_refer_to_its_folder(repo):
    (repo / "data_release.yaml").unlink()  # the commit's counts
    pinned, unpinned = open_release(repo=repo, ref="v1").select(["det_person"])
    for entry in (pinned, unpinned):
        record = JsonlIndex(entry.index_path)[1]
        assert str(entry.base_dir) == "obs://lists/train"
        assert (entry.base_dir / record["image"]["path"]).read_bytes() == b"pngp1"
    assert pinned.index_path != unpinned.index_path


def test_the_digest_follows_an_unpinned_object(repo, s3):
    before = open_release(repo=repo, ref="v1").digest
    assert open_release(repo=repo, ref="v1").digest == before
    s3.put_object(Bucket="lists", Key="train/people.jsonl", Body=LIST + LIST.replace(b"p0", b"p2").splitlines(True)[0])
    assert open_release(repo=repo, ref="v1").digest != before


def test_a_wrong_count_is_named(repo, s3, document):
    document["dataset_index"][0]["integrity"]["num_samples"] = 3
    write_release(repo, document)
    git(repo, "commit", "-qam", "wrong")
    git(repo, "tag", "v2")
    with pytest.raises(DataReleaseError, match="3 records") as caught:
        open_release(repo=repo, ref="v2").select(["det_person"])
    assert caught.value.code == "E402"


def test_fetch_ahead_of_training(repo, s3):
    def rows(*options):
        done = CliRunner().invoke(admlops, ["data", "fetch", "v1", "--repo", str(repo), "--json", *options])
        assert done.exit_code == 0, done.output
        return [tuple(entry.values()) for entry in json.loads(done.output)["entries"]]

    size = len(LIST)
    assert rows("--tasks", "seg_lane") == [("高速_joint", "fetched", size, 0, 0, 0)]
    assert rows("--images") == [("people", "fetched", size, 0, 2, 10), ("高速_joint", "cached", size, 2, 0, 0)]
    for name in ("p0", "p1"):
        s3.delete_object(Bucket="lists", Key=f"train/images/{name}.png")
    assert rows("--images") == [("people", "cached", size, 2, 0, 0), ("高速_joint", "cached", size, 2, 0, 0)]
    text = CliRunner().invoke(admlops, ["data", "fetch", "v1", "--repo", str(repo)]).output
    assert text.splitlines()[1].split() == ["people", "cached", str(size), "0", "0", "0"]


def test_sweeps_and_labels_of_points_are_fetched_once_each(repo, s3, document):
    names = [f"{name}.{end}" for name in ("s0", "s1") for end in ("bin", "label")]
    for name in names:
        s3.put_object(Bucket="lists", Key=f"train/sweeps/{name}", Body=b"four")
    lidar = {"dtype": "float32", "num_features": 4, "origin": [0, 0, 1.8]}
    records = []
    for sweep in ("s0", "s1"):
        label = {"point_labels": f"sweeps/{sweep}.label", "taxonomy": "rendered"}
        labels = {"god_base": label, "drivable_2cls": label, "drivable_multi": {"polygons": [], "categories": []}}
        records.append({"sample_id": sweep, "lidar": {"path": f"sweeps/{sweep}.bin", **lidar}, "labels": labels})
    body = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    s3.put_object(Bucket="lists", Key="train/sweeps.jsonl", Body=body)
    for entry in document["dataset_index"]:
        entry["obs_path"] = "obs://lists/train/sweeps.jsonl"
        entry.pop("integrity", None)
    write_release(repo, document)
    git(repo, "commit", "-qam", "sweeps")
    git(repo, "tag", "v2")
    first, second = fetch(repo, "v2", images=True).entries
    assert (first.images_cached, first.images_fetched, first.image_bytes) == (0, 4, 16)
    assert (second.images_cached, second.images_fetched) == (4, 0)


def test_fetch_says_what_is_wrong(repo, s3):
    run = lambda *options: CliRunner().invoke(admlops, ["data", "fetch", "v1", "--repo", str(repo), *options])  # noqa: E731
    assert "did you mean 'det_person'" in run("--tasks", "det_persn").stderr
    assert "leave it out of --tasks" in run("--tasks", "god_hd").stderr
    s3.delete_object(Bucket="lists", Key="train/people.jsonl")
    done = run()
    assert (done.exit_code, "E401" in done.stderr) == (3, True)


def test_profiles_of_this_machine_replace_those_of_the_release(repo, s3, tmp_path, monkeypatch):
    override = tmp_path / "storage.yaml"
    monkeypatch.setenv("ADMLOPS_STORAGE", str(override))
    with pytest.raises(DataReleaseError, match="names no file"):
        open_release(repo=repo, ref="v1").select(["det_person"])
    override.write_text("storage: {mine: {scheme: obs, endpoint: nonsense}}")
    with pytest.raises(DataReleaseError, match="not valid") as caught:
        open_release(repo=repo, ref="v1").select(["det_person"])
    assert caught.value.code == "E124"
    endpoint = f"{{scheme: obs, endpoint: '{s3.meta.endpoint_url}', region: us-east-1, addressing: path}}"
    override.write_text(f"storage: {{one: {endpoint}, two: {endpoint}}}")
    with pytest.raises(DataReleaseError, match="two storage profiles serve"):
        open_release(repo=repo, ref="v1").select(["det_person"])
    override.write_text(f"storage: {{one: {endpoint}}}")
    assert len(open_release(repo=repo, ref="v1").select(["det_person"])) == 2
