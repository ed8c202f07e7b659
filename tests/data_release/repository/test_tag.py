"""Tagging: checked first, atomic with the branch, and nothing left behind where it fails."""

import json

import pytest
from click.testing import CliRunner
from shared_repository import BUNDLE, commit, entry, git, hook, raises, read, refs, release, switch
from spec_hub_files import BUNDLE_PATH, WEEKLY, write_hub

from admlops.cli.main import admlops
from admlops.data_release.repository.next_tag import tag_name
from admlops.data_release.repository.tag import tag
from admlops.errors import DataReleaseError, MachineError

GOD = "master/god_base"


@pytest.mark.parametrize(
    ("wish", "taken", "name"),
    [
        ("a/next-minor", [], "a/v1.0.0"),
        ("a/next-patch", ["a/v1.9.3", "a/v1.10.0", "b/v7.0.0", "a/release-20251017"], "a/v1.10.1"),
        ("a/next-minor", ["a/v1.9.3"], "a/v1.10.0"),
        ("a/next-major", ["a/v1.9.3"], "a/v2.0.0"),
        ("feature_dataset/收费站/release-20250709", [], "feature_dataset/收费站/release-20250709"),
    ],
)
def test_next_names(wish, taken, name):
    assert tag_name(wish, taken) == name


@pytest.mark.parametrize("wish", ["v1.0.0", "a/v1.0", "a/next-", "-d", "a/release-20250230", "a/v1.0.0 ", "", "../a/v1.0.0"])
def test_other_names_are_refused(wish):
    with raises("E208", "TASK/vX.Y.Z"):
        tag_name(wish, [])


def test_tag_and_branch_arrive_together(ada, remote):
    switch(ada, GOD)
    two = release([entry("highway", ["god_base"])], ["god_base"], "v1.1.0")
    head = commit(ada, {"training_dataset.json": two})
    switch(ada, "main")
    outcome = tag(ada, "god_base/v1.1.0", message='says "数据"')
    assert git(remote, "rev-parse", GOD, "god_base/v1.1.0^0").split() == [head, head]
    assert git(remote, "rev-parse", "god_base/v1.1.0") == git(ada, "rev-parse", "god_base/v1.1.0") == outcome.tag.sha
    text = git(remote, "cat-file", "-p", "god_base/v1.1.0")
    assert "tagger Ada <ada@example.com> " in text
    assert '\ntask_type: "god_base"\nrelease_name: "god_base/v1.1.0"\nconsumer_version: "v1.2.0"\n' in text
    assert text.endswith('description: "says \\"数据\\""')
    assert (outcome.branch, outcome.remote, outcome.warnings) == (GOD, "origin", ())
    assert refs(ada) == {"refs/heads/main", f"refs/heads/{GOD}", "refs/tags/god_base/v1.1.0"}
    assert git(ada, "status", "--porcelain") == ""


def test_a_branch_known_only_from_the_remote(ada, remote):
    git(ada, "switch", "-q", "--detach")
    assert tag(ada, "god_base/release-20251017").tag.commit == git(remote, "rev-parse", GOD)
    assert refs(ada) == {"refs/heads/main", "refs/tags/god_base/release-20251017"}


def test_a_topic_finds_its_branch(ada):
    git(ada, "branch", "feature_dataset/god_base/toll/clean", f"origin/{GOD}")
    assert tag(ada, "feature_dataset/toll/release-20250709").branch == "feature_dataset/god_base/toll/clean"
    git(ada, "branch", "feature_dataset/toll/more", f"origin/{GOD}")
    with pytest.raises(DataReleaseError, match="2 branches work on the topic 'toll'"):
        tag(ada, "feature_dataset/toll/release-20250710")


def test_a_bare_repository_without_a_remote(tmp_path, remote):
    git(remote, "config", "user.name", "Server")
    git(remote, "config", "user.email", "server@example.com")
    with pytest.raises(DataReleaseError, match=r"(?s)no remote 'origin'.*--no-push"):
        tag(remote, "god_base/v1.0.0")
    assert tag(remote, "god_base/v1.0.0", push=False).remote is None
    with raises("E207", "exists here already.*made by Server <server@example.com> at 20.*god_base/v1.0.1"):
        tag(remote, "god_base/v1.0.0", push=False)


def test_no_push_then_push_publishes_the_same_tag(ada, remote):
    first = tag(ada, "god_base/v1.0.0", push=False)
    assert "refs/tags/god_base/v1.0.0" not in refs(remote)
    assert tag(ada, "god_base/v1.0.0").tag.sha == first.tag.sha == git(remote, "rev-parse", "god_base/v1.0.0")


def test_a_tag_of_somebody_elses_making_is_not_published(ada, remote):
    git(ada, "tag", "-a", "-m", "by hand", "god_base/v1.0.0", f"origin/{GOD}")
    before = refs(remote)
    with pytest.raises(DataReleaseError):
        tag(ada, "god_base/v1.0.0")
    assert refs(remote) == before


def test_pending_and_unpinned_entries_and_every_other_fault_are_refused(ada, remote):
    switch(ada, GOD)
    unpinned = {"name": "b", "obs_path": "obs://x/b.jsonl", "task_tags": ["god_base"]}
    broken = release([entry("a", ["god_base"]) | {"obs_path": ""}, unpinned], ["god_base"], x_note=1, ocnsumer="x")
    commit(ada, {"training_dataset.json": broken})
    before = refs(ada), refs(remote)
    with pytest.raises(DataReleaseError) as refused:
        tag(ada, "god_base/v1.0.0")
    codes = [problem.code for problem in refused.value.problems if not problem.warning]
    assert codes.count("E206") == 2
    assert "E117" in codes
    assert (refs(ada), refs(remote)) == before


def test_a_trace_is_required_only_when_asked_for(ada, tmp_path):
    hub = write_hub(tmp_path / "DataSpecHub")
    switch(ada, GOD)
    traced = release([entry("a", ["god_base"])], ["god_base"], bundle_versions=[WEEKLY])
    commit(ada, {"training_dataset.json": traced})
    with raises("E103", "does not say for whom"):
        tag(ada, "god_base/v1.0.0", require_trace=True)
    traced["meta"]["consumer"] = "end_to_end"
    commit(ada, {"training_dataset.json": traced})
    (hub / BUNDLE_PATH).rename(tmp_path / "bundle")
    with raises("E502", "bundle"):
        tag(ada, "god_base/v1.0.0", require_trace=True)
    (tmp_path / "bundle").rename(hub / BUNDLE_PATH)
    tag(ada, "god_base/v1.0.0", require_trace=True)
    (hub / BUNDLE_PATH).unlink()
    tag(ada, "god_base/release-20251017")


def test_unborn_and_missing_branches(tmp_path):
    git(tmp_path, "init", "-q", "-b", GOD, "new")
    with raises("E207", "no branch 'master/god_base' with a commit"):
        tag(tmp_path / "new", "god_base/v1.0.0", push=False)


def test_nobody_named(ada):
    git(ada, "config", "--unset", "user.email")
    git(ada, "config", "--unset", "user.name")
    with pytest.raises(DataReleaseError, match=r"(?s)does not know who you are.*git config user.name"):
        tag(ada, "god_base/v1.0.0")


def test_who_comes_second_is_told_who_was_first(ada, bob):
    tag(ada, "god_base/v1.0.0")
    with raises("E207", "exists at origin already.*made by Ada <ada@example.com> at 20.*of commit.*god_base/v1.0.1"):
        tag(bob, "god_base/v1.0.0")
    assert refs(bob) == {"refs/heads/main"}


def test_another_tag_here_than_there(ada, bob):
    tag(bob, "god_base/v1.0.0", push=False)
    tag(ada, "god_base/v1.0.0")
    with raises("E207", "another one here than at origin.*there made by Ada .*here made by Bob"):
        tag(bob, "god_base/v1.0.0")


def test_two_clones_tag_the_same_branch(ada, bob, remote):
    tag(ada, "god_base/v1.0.0")
    switch(ada, GOD)
    newer = release([entry("more", ["god_base"])], ["god_base"], "v1.1.0")
    commit(ada, {"training_dataset.json": newer}, "more")
    tag(ada, "god_base/v1.1.0")
    switch(bob, GOD)
    commit(bob, {"training_dataset.json": newer | {"x_by": "bob"}}, "other")
    with raises("E203", "moved at origin.*by Ada at 20.*git rebase origin/master/god_base"):
        tag(bob, "god_base/v1.2.0")
    assert refs(bob) == {"refs/heads/main", f"refs/heads/{GOD}"}
    assert not any("v1.2.0" in ref for ref in refs(remote))


def test_the_branch_moves_in_the_middle_of_the_push(ada, bob, remote):
    switch(ada, GOD)
    newer = release([entry("more", ["god_base"])], ["god_base"], "v1.1.0")
    commit(ada, {"training_dataset.json": newer}, "more")
    switch(bob, GOD)
    commit(bob, {"training_dataset.json": newer | {"x_by": "bob"}}, "other")
    hook(bob, "pre-push", f"env -i PATH=$PATH git -C {ada} push -q origin {GOD}")
    with raises("E203", "moved at origin.*by Ada at 20"):
        tag(bob, "god_base/v1.1.0")
    assert git(remote, "rev-parse", GOD) == git(ada, "rev-parse", GOD)
    assert refs(bob) == {"refs/heads/main", f"refs/heads/{GOD}"}


@pytest.mark.parametrize("side", ["pre-receive", "pre-push"])
def test_a_hook_refuses(ada, remote, side):
    hook(remote if side == "pre-receive" else ada, side, "echo no release on Fridays >&2; exit 1")
    before = refs(ada), refs(remote)
    with pytest.raises(DataReleaseError, match=r"(?s)origin refused master/god_base and god_base.*no release on Fridays"):
        tag(ada, "god_base/v1.0.0")
    assert (refs(ada), refs(remote)) == before


def test_a_remote_that_is_gone_and_comes_back(ada, remote, tmp_path):
    before = refs(ada)
    remote.rename(tmp_path / "away")
    with raises("E403", "cannot be reached", MachineError):
        tag(ada, "god_base/v1.0.0")
    assert refs(ada) == before
    (tmp_path / "away").rename(remote)
    hook(remote, "pre-receive", f"mv {remote} {tmp_path / 'away'}; kill -9 $PPID")
    with raises("E403", "whether the tag god_base/v1.0.0 arrived there is unknown.*tag again", MachineError):
        tag(ada, "god_base/v1.0.0")
    assert refs(ada) == before | {"refs/admlops/pending/god_base/v1.0.0"}
    (tmp_path / "away").rename(remote)
    (remote / "hooks" / "pre-receive").unlink()
    assert not tag(ada, "god_base/v1.0.0").finished_interrupted
    assert refs(ada) == before | {"refs/tags/god_base/v1.0.0"}


def test_the_answer_of_the_remote_is_lost_but_not_the_push(ada, remote):
    hook(remote, "post-receive", "kill -9 $PPID")
    assert tag(ada, "god_base/v1.0.0").tag.sha == git(remote, "rev-parse", "god_base/v1.0.0")


def test_the_verb(ada):
    run = CliRunner()
    done = run.invoke(admlops, ["data", "tag", "god_base/next-minor", "--repo", str(ada), "--json"])
    assert (done.exit_code, json.loads(done.output)["tag"]) == (0, "god_base/v1.0.0")
    again = run.invoke(admlops, ["data", "tag", "god_base/v1.0.0", "--repo", str(ada)])
    assert (again.exit_code, again.stderr.splitlines()[0]) == (1, "[E207] the tag god_base/v1.0.0 exists at origin already")
    assert run.invoke(admlops, ["data", "tag", "--repo", str(ada), "--", "-d"]).exit_code == 1
    assert run.invoke(admlops, ["data", "tag", "god_base/v9.0.0", "--repo", str(ada), "--remote", "x"]).exit_code == 1
    assert read(ada, "god_base/v1.0.0")["meta"]["bundle_versions"] == [BUNDLE]
