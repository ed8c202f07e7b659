"""The verb validate: the working tree, tags, commits and branches, and the data behind them."""

import json

import boto3
import pytest
from click.testing import CliRunner
from git_commands import commit_all, git, integrity
from moto.server import ThreadedMotoServer
from release_files import write_jsonl
from release_repository import dataset, make_repository, make_tag, release

from admlops.cli.main import admlops
from admlops.data_release.repository.validate import validate


@pytest.fixture
def repo(tmp_path):
    return make_repository(tmp_path / "repo")


def codes(validation):
    return [problem.code for problem in validation.problems]


def test_the_working_tree_is_checked_and_left_alone(repo):
    before = git(repo, "count-objects", "-v"), git(repo, "for-each-ref")
    document = dataset("v1.1.0")
    document["dataset_index"][0]["task_tags"] = ["hd"]
    (repo / "training_dataset.json").write_text(json.dumps(document))
    (repo / "training_dataset_old.json").write_text("{}")
    validation = validate(repo)
    assert codes(validation) == ["E115", "E201", "E204"]
    assert validation.problems[0].where == "training_dataset.json"
    assert (git(repo, "count-objects", "-v"), git(repo, "for-each-ref")) == before
    assert git(repo, "status", "--short") == "M training_dataset.json\n?? training_dataset_old.json"
    assert codes(validate(repo, git(repo, "rev-parse", "HEAD"))) == []


def test_deleted_files_and_a_repository_without_commits(repo, tmp_path):
    (repo / "training_dataset.json").unlink()
    assert codes(validate(repo)) == ["E201"]
    new = tmp_path / "new"
    new.mkdir()
    git(new, "init", "-q", "-b", "main")
    (new / "training_dataset.json").write_text(json.dumps(dataset()))
    assert codes(validate(new)) == ["E206"]


def test_a_ref_knows_what_it_is(repo):
    commit_all(repo, "quick fix")
    make_tag(repo, "god/v1.0.0")
    assert codes(validate(repo, "master/god")) == codes(validate(repo, "god/v1.0.0")) == ["E209"]
    sha = git(repo, "rev-parse", "HEAD")
    assert codes(validate(repo, sha)) == []
    assert codes(validate(repo, sha, branch="master/god")) == ["E209"]
    assert validate(repo, "god/v1.0.0").ok


def test_the_verb_prints_and_exits(repo):
    run = CliRunner().invoke
    good = run(admlops, ["data", "validate", "--repo", str(repo), "master/god"])
    assert (good.exit_code, good.output.endswith(": valid\n")) == (0, True)
    release(repo, dataset("1.0"))
    bad = run(admlops, ["data", "validate", "--repo", str(repo), "--json"])
    (problem,) = json.loads(bad.output)["problems"]
    assert (bad.exit_code, problem["code"], problem["json_path"], problem["line"]) == (1, "E102", "$.meta.version", 8)
    assert run(admlops, ["data", "validate", "--repo", str(repo), "nothing/v1.0.0"]).exit_code == 1


def test_many_warnings_are_told_in_few_lines(repo):
    document = dataset()
    document["dataset_index"] = [{"name": f"e{i}", "obs_path": f"obs://b/{i}.jsonl", "task_tags": ["god"]} for i in range(9)]
    release(repo, document)
    validation = validate(repo, "master/god")
    assert len(validation.problems) == len(validation.to_json()["problems"]) == 9
    assert validation.to_text().splitlines()[-1] == "  ... and 4 more warnings E206; --json lists all"
    assert len(validation.to_text().splitlines()) == 7


def test_deep_names_all_bad_records_of_a_pinned_entry(repo):
    path = write_jsonl(repo / "a.jsonl", ["s0", "s1", "s2"])
    path.write_bytes(path.read_bytes().replace(b"1280", b"0", 2))
    document = dataset()
    document["dataset_index"][0]["integrity"] = integrity(path, 3)
    release(repo, document)
    problems = validate(repo, deep=True).problems
    assert [(problem.code, problem.where.split(":")[-1][0]) for problem in problems] == [("E410", "1"), ("E410", "2")]


def test_deep_reads_every_record(repo):
    assert validate(repo, deep=True).ok
    path = write_jsonl(repo / "a.jsonl", ["s0", "s1"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["image"]["width"] = "wide"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    validation = validate(repo, deep=True)
    (problem,) = validation.problems
    assert (problem.code, "a.jsonl:2" in problem.where, "width" in problem.what) == ("E410", True, True)
    assert validate(repo, "master/god", deep=True).ok  # the commit has the old file
    (repo / "a.jsonl").unlink()
    assert codes(validate(repo, remote=True)) == ["E206", "E401"]


@pytest.fixture
def bucket(monkeypatch):
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    client.create_bucket(Bucket="data")
    yield url, client
    server.stop()


def test_objects_are_there_unchanged_missing_or_changed_behind_the_tag(repo, bucket):
    url, client = bucket
    profile = f"storage: {{s3: {{scheme: s3, endpoint: '{url}', region: us-east-1, addressing: path}}}}\n"
    (repo / "data_release.yaml").write_text((repo / "data_release.yaml").read_text() + profile)
    path = write_jsonl(repo.parent / "b.jsonl", ["b0", "b1"])
    client.upload_file(str(path), "data", "b.jsonl")
    document = dataset()
    pinned = {"name": "b", "obs_path": "s3://data/b.jsonl", "task_tags": ["god"], "integrity": integrity(path, 2)}
    document["dataset_index"].append(pinned)
    release(repo, document)
    make_tag(repo, "god/v1.0.0")
    for options in ({"remote": True}, {"deep": True}):
        assert codes(validate(repo, "god/v1.0.0", strict=True, **options)) == []
    content = path.read_bytes()
    client.put_object(Bucket="data", Key="b.jsonl", Body=content[:-1])
    (problem,) = validate(repo, "god/v1.0.0", remote=True).problems
    assert (problem.code, problem.got) == ("E402", f"{len(content) - 1} bytes")
    client.delete_object(Bucket="data", Key="b.jsonl")
    assert codes(validate(repo, "god/v1.0.0", remote=True)) == ["E401"]
