"""Rollback, sync, tasks, branches: new commits by rules, whatever is checked out."""

import json

import pytest
from click.testing import CliRunner
from shared_repository import BUNDLE, REGISTRY, commit, entry, git, hook, raises, read, refs, release, switch

from admlops.cli.main import admlops
from admlops.data_release.repository.branch import open_experiment, open_feature, stale_branches
from admlops.data_release.repository.commit_message import parse_message
from admlops.data_release.repository.list import list_releases
from admlops.data_release.repository.registry import TaskEntry, parse_registry
from admlops.data_release.repository.rollback import rollback
from admlops.data_release.repository.sync import sync
from admlops.data_release.repository.tag import tag
from admlops.data_release.repository.task_add import task_add, with_task
from admlops.errors import DataReleaseError

GOD, JOINT = "master/god_base", "master/multi_task"
OTHER_BUNDLE = "v1.3.0-20251101"


@pytest.fixture
def tagged(ada):
    """v1.0.0 with two entries, then v1.1.0 with a third one and a file of the rules."""
    tag(ada, "god_base/v1.0.0")
    switch(ada, GOD)
    newer = release([entry("tunnel", ["god_base"], 7)], ["god_base"], "v1.1.0")
    commit(ada, {"training_dataset.json": newer, ".githooks/x": "new rule", "lists/a.jsonl": "{}"})
    tag(ada, "god_base/v1.1.0")
    return ada


def message_of(folder, branch):
    return parse_message(git(folder, "log", "-1", "--format=%B", branch), branch)


class TestRollback:
    @pytest.mark.parametrize("checked_out", [GOD, "main", None])
    def test_the_old_data_are_back_in_a_new_commit(self, tagged, checked_out):
        git(tagged, "switch", "-q", *([checked_out] if checked_out else ["--detach"]))
        before = git(tagged, "rev-parse", GOD)
        outcome = rollback(tagged, "god_base/v1.0.0", branch=GOD, message="v1.1.0 was too small")
        assert git(tagged, "rev-parse", GOD, f"{GOD}^").split() == [outcome.commit, before]
        assert read(tagged, GOD) == read(tagged, "god_base/v1.0.0")
        assert outcome.changed == ("lists", "training_dataset.json")
        assert git(tagged, "show", f"{GOD}:.githooks/x") == "new rule"
        assert git(tagged, "status", "--porcelain") == ""
        message = message_of(tagged, GOD)
        assert (message.type, message.description) == ("fix", "roll back to god_base/v1.0.0")
        assert message.details["why"] == "v1.1.0 was too small"

    def test_in_a_bare_repository(self, tagged, remote):
        git(remote, "config", "user.name", "Server")
        git(remote, "config", "user.email", "s@example.com")
        rollback(remote, "god_base/v1.0.0", branch=GOD)
        assert read(remote, GOD) == read(remote, "god_base/v1.0.0")

    def test_changes_in_the_checkout_are_never_overwritten(self, tagged):
        (tagged / "notes.txt").write_text("mine")
        (tagged / "training_dataset.json").write_text("half done")
        before = refs(tagged), git(tagged, "rev-parse", GOD)
        with pytest.raises(DataReleaseError, match=r"(?s)is checked out, and changes there.*commit or stash"):
            rollback(tagged, "god_base/v1.0.0", branch=GOD)
        assert (refs(tagged), git(tagged, "rev-parse", GOD)) == before
        assert (tagged / "training_dataset.json").read_text() == "half done"
        git(tagged, "checkout", "-q", "training_dataset.json")
        rollback(tagged, "god_base/v1.0.0", branch=GOD)
        assert git(tagged, "status", "--porcelain") == "?? notes.txt"

    def test_in_another_worktree(self, tagged, tmp_path):
        switch(tagged, "main")
        git(tagged, "worktree", "add", "-q", str(tmp_path / "side"), GOD)
        rollback(tagged, "god_base/v1.0.0", branch=GOD)
        assert git(tmp_path / "side", "status", "--porcelain") == ""
        assert json.loads((tmp_path / "side" / "training_dataset.json").read_text()) == read(tagged, "god_base/v1.0.0")

    def test_nothing_to_roll_back(self, tagged):
        with pytest.raises(DataReleaseError, match="has the data of god_base/v1.1.0 already"):
            rollback(tagged, "god_base/v1.1.0", branch=GOD)
        with raises("E207", "god_base/v1.1.0"):
            rollback(tagged, "god_base/v1.9.0", branch=GOD)
        with raises("E201"):
            rollback(tagged, "main", branch=GOD)
        with raises("E207"):
            rollback(tagged, "god_base/v1.0.0", branch="-x")

    def test_hooks_and_names(self, tagged):
        hook(tagged, "commit-msg", "grep -q DATA- $1 || { echo no work order; exit 1; }")
        with pytest.raises(DataReleaseError, match=r"(?s)commit-msg refused.*no work order"):
            rollback(tagged, "god_base/v1.0.0", branch=GOD)
        hook(tagged, "commit-msg", "echo 'Reviewed-by: Eve' >> $1")
        rollback(tagged, "god_base/v1.0.0", branch=GOD)
        assert git(tagged, "log", "-1", "--format=%B", GOD).endswith("Reviewed-by: Eve")
        git(tagged, "config", "--unset", "user.name")
        with pytest.raises(DataReleaseError, match="git does not know who you are"):
            rollback(tagged, "god_base/v1.1.0", branch=GOD)


def put(folder, branch, document, **files):
    switch(folder, branch)
    commit(folder, {"training_dataset.json": document, **files})
    switch(folder, "main")


class TestSync:
    def test_an_entry_comes_along_and_what_it_inherited(self, ada):
        plain = entry("night", None, 4, x_note="ours")
        put(ada, GOD, release([plain], ["god_base"], bundle_versions=[OTHER_BUNDLE]))
        outcome = sync(ada, GOD, JOINT, entries=["night"])
        got = read(ada, JOINT)
        assert got["dataset_index"][-1] == plain | {"bundle_versions": [OTHER_BUNDLE], "task_tags": ["god_base"]}
        assert got["meta"]["bundle_versions"] == [BUNDLE, OTHER_BUNDLE]
        assert [row.get("bundle_versions") for row in got["dataset_index"][:-1]] == [[BUNDLE], [BUNDLE]]
        assert got["meta"]["tasks"] == ["god_base", "drivable"]
        assert (outcome.added, outcome.adjusted) == (("night",), (f"meta.bundle_versions has {OTHER_BUNDLE} now",))
        message = message_of(ada, JOINT)
        assert (message.type, message.description) == ("add", f"bring night from {GOD}")
        assert message.details["entries"] == ["night"]

    def test_the_diff_is_the_entry_alone(self, ada):
        put(ada, GOD, release([entry("夜", ["god_base"])], ["god_base"]))
        sync(ada, GOD, JOINT, entries=["夜"])
        # 12 lines of the entry and a bracket before it; nothing else is laid out anew.
        assert git(ada, "diff", "--numstat", f"{JOINT}^", JOINT).split() == ["13", "0", "training_dataset.json"]

    def test_all_of_a_task(self, ada):
        outcome = sync(ada, JOINT, GOD, task_tag="drivable")
        assert (outcome.added, outcome.adjusted) == (("joint",), ("meta.tasks has drivable now",))
        assert read(ada, GOD)["meta"]["tasks"] == ["god_base", "drivable"]

    def test_clashes_are_refused_or_replaced_when_asked(self, ada):
        with raises("E111", "'highway' is there already, with another duplicate.*--replace"):
            sync(ada, GOD, JOINT, entries=["highway"])
        outcome = sync(ada, GOD, JOINT, entries=["highway"], replace=True)
        assert (outcome.added, outcome.replaced) == ((), ("highway",))
        assert [row["duplicate"] for row in read(ada, JOINT)["dataset_index"]] == [5, 3]
        again = sync(ada, GOD, JOINT, entries=["highway"])
        assert (again.commit, again.present) == (None, ("highway",))

    def test_another_consumer(self, ada):
        put(ada, GOD, release([entry("night", ["god_base"])], ["god_base"], consumer="hd"))
        switch(ada, JOINT)
        put(ada, JOINT, release([entry("a", ["god_base"])], ["god_base"], consumer="sd"))
        with raises("E103", "different consumers"):
            sync(ada, GOD, JOINT, entries=["night"])

    def test_an_entry_that_serves_none_of_the_branchs_tasks(self, ada):
        put(ada, JOINT, release([entry("only", ["drivable"])], ["drivable"]))
        before = git(ada, "for-each-ref", GOD)
        with raises("E204"):
            sync(ada, JOINT, GOD, entries=["only"])
        assert git(ada, "for-each-ref", GOD) == before

    def test_index_files_in_the_repository_come_along(self, ada):
        listed = entry("listed", ["god_base"]) | {"obs_path": "lists/a.jsonl"}
        put(ada, GOD, release([listed], ["god_base"]), **{"lists/a.jsonl": "{}\n"})
        sync(ada, GOD, JOINT, entries=["listed"])
        assert git(ada, "show", f"{JOINT}:lists/a.jsonl") == "{}"
        put(ada, GOD, release([listed | {"name": "other"}], ["god_base"]), **{"lists/a.jsonl": "[]\n"})
        with pytest.raises(DataReleaseError, match=r"lists/a.jsonl is another file there"):
            sync(ada, GOD, JOINT, entries=["other"])

    def test_what_is_not_there(self, ada):
        with pytest.raises(DataReleaseError, match=r"(?s)no entry 'hihgway'.*did you mean 'highway'"):
            sync(ada, GOD, JOINT, entries=["hihgway"])
        with pytest.raises(DataReleaseError, match="no entry serves lanes"):
            sync(ada, GOD, JOINT, task_tag="lanes")
        with raises("E207"):
            sync(ada, "--upload-pack=x", JOINT, entries=["a"])


class TestTaskAdd:
    def test_comments_stay_and_the_branch_begins_there(self, ada):
        outcome = task_add(ada, "god_hd", display_name="GOD-HD", allowed_tags=["god_hd", "god_base"])
        text = git(ada, "show", "main:data_release.yaml") + "\n"
        added = '  god_hd:\n    display_name: "GOD-HD"\n    branch: "master/god_hd"\n    allowed_tags: ["god_hd", "god_base"]\n'
        assert text == REGISTRY.replace("# where the", f"{added}# where the")
        assert git(ada, "rev-parse", "main", "master/god_hd").split() == [outcome.commit] * 2
        assert (ada / "data_release.yaml").read_text() == text
        assert git(ada, "status", "--porcelain") == ""

    def test_from_another_tasks_tag(self, ada):
        tag(ada, "god_base/v1.0.0")
        outcome = task_add(ada, "god_hd", display_name="GOD-HD", allowed_tags=["god_base"], base="god_base/v1.0.0")
        assert outcome.registered_on == ("main", "master/god_hd")
        assert read(ada, "master/god_hd") == read(ada, "god_base/v1.0.0")
        assert "god_hd" in git(ada, "show", "master/god_hd:data_release.yaml")
        assert tag(ada, "god_hd/v1.0.0").tag.commit == outcome.commit

    def test_what_to_push_next(self, ada):
        put(ada, "main", release([{"name": "example", "obs_path": "", "status": "pending"}], ["god_base"]))
        assert (
            "next  git push origin main master/lanes"
            in task_add(ada, "lanes", display_name="Lanes", allowed_tags=["lanes", "god_base"]).to_text()
        )
        outcome = task_add(ada, "god_hd", display_name="GOD-HD")
        assert outcome.refused_by == ("E204",)
        assert "  next  git push origin main\n  then  list entries of god_hd on master/god_hd" in outcome.to_text()

    def test_a_run_that_was_cut_short_is_finished(self, ada):
        task_add(ada, "god_hd", display_name="GOD-HD")
        git(ada, "update-ref", "-d", "refs/heads/master/god_hd")
        count = git(ada, "rev-list", "--count", "main")
        task_add(ada, "god_hd")
        assert git(ada, "rev-list", "--count", "main", "master/god_hd") == count
        with pytest.raises(DataReleaseError, match="there is a branch 'master/god_hd' already"):
            task_add(ada, "god_hd", display_name="GOD-HD")

    def test_refused(self, ada):
        with pytest.raises(DataReleaseError, match=r"(?s)'god_base' is registered already|a branch 'master/god_base'"):
            task_add(ada, "god_base", display_name="Other")
        with pytest.raises(DataReleaseError, match="no task's identifier"):
            task_add(ada, "-x", display_name="X")
        with pytest.raises(DataReleaseError, match=r"(?s)not registered yet.*--display-name"):
            task_add(ada, "lanes")
        with raises("E122", "display_name"):
            task_add(ada, "other", display_name=" two\nlines")
        with raises("E122", "allowed_tags"):
            task_add(ada, "other", display_name="Other", allowed_tags=["A B"])
        with raises("E127", "display_name"):
            task_add(ada, "other", display_name="GOD-Base")

    def test_a_trunk_called_master(self, tmp_path):
        git(tmp_path, "init", "-q", "-b", "master", "old")
        old = tmp_path / "old"
        git(old, "config", "user.name", "Ada")
        git(old, "config", "user.email", "a@example.com")
        commit(old, {"data_release.yaml": REGISTRY})
        with pytest.raises(DataReleaseError, match=r"(?s)cannot both be branches.*init --migrate"):
            task_add(old, "god_hd", display_name="GOD-HD")
        git(old, "branch", "-m", "main")
        git(old, "branch", "master/god_hd/x")
        with pytest.raises(DataReleaseError, match=r"(?s)cannot both be branches.*rename master/god_hd/x"):
            task_add(old, "god_hd", display_name="GOD-HD")

    @pytest.mark.parametrize(
        "text",
        [
            "schema_version: 1\ntasks: {a: {display_name: A}}  # flow\n",
            "schema_version: 1\ntasks:\n    a:\n        display_name: A",
            "tasks:\n  a: {display_name: A}\n\n# about the version\nschema_version: 1\n",
            "tasks:\n  a:\n    display_name: A # last\n    allowed_tags:\n    - a\n    # end of a\nschema_version: 1\n",
        ],
    )
    def test_any_layout(self, text):
        new = TaskEntry(display_name="B", branch="master/b", allowed_tags=("b",), description="乙: #")
        edited = with_task(text.encode(), "b", new, "x").decode()
        before, after = parse_registry(text.encode(), "x"), parse_registry(edited.encode(), "x")
        assert dict(after.tasks) == {**before.tasks, "b": new}
        kept = [line for line in text.splitlines() if "#" in line and "{" not in line]
        assert [line for line in edited.splitlines() if line in kept] == kept


class TestBranch:
    def test_opened_from_the_right_base(self, ada):
        there = git(ada, "rev-parse", f"origin/{GOD}")
        assert open_feature(ada, "收费站", "clean", task="god_base").commit == there
        assert git(ada, "rev-parse", "feature_dataset/god_base/收费站/clean") == there
        assert open_feature(ada, "toll", "more").base == "main"
        assert open_experiment(ada, "multi_task", "ablation-01").base == JOINT
        assert git(ada, "symbolic-ref", "--short", "HEAD") == "main"

    def test_the_newer_of_here_and_there(self, ada, bob):
        git(ada, "branch", GOD, f"origin/{GOD}")
        switch(bob, GOD)
        new = commit(bob, {"notes.md": "x"})
        git(bob, "push", "-q")
        git(ada, "fetch", "-q")
        assert open_feature(ada, "a", "b", task="god_base").commit == new
        switch(ada, GOD)
        commit(ada, {"mine.md": "x"})
        with raises("E203", "went two ways"):
            open_feature(ada, "a", "c", task="god_base")

    def test_refused(self, ada):
        for topic, method in [("-x", "y"), ("a", "b c"), ("a/b/c", "d"), ("", "x")]:
            with pytest.raises(DataReleaseError, match="no branch by the rules"):
                open_feature(ada, topic, method)
        with raises("E207", "master/god_hd"):
            open_experiment(ada, "god_hd", "x")
        open_feature(ada, "toll", "more")
        with pytest.raises(DataReleaseError, match="there is a branch 'feature_dataset/toll/more' already"):
            open_feature(ada, "toll", "more")
        git(ada, "branch", "feature_dataset/short")
        with pytest.raises(DataReleaseError, match="cannot both be branches"):
            open_feature(ada, "short", "x")

    def test_stale(self, ada):
        git(ada, "branch", "feature_dataset/old/merged", "main")
        old = {"GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z", "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z"}
        git(ada, "switch", "-q", "-c", "experiment/god_base/left", f"origin/{GOD}")
        git(ada, "commit", "-q", "--allow-empty", "-m", "x", **old)
        git(ada, "switch", "-q", "-c", "feature_dataset/new/x")
        git(ada, "commit", "-q", "--allow-empty", "-m", "x")
        git(ada, "branch", "feature_dataset/short")
        found = {row.branch.name: row.reasons for row in stale_branches(ada, days=30).branches}
        assert found.keys() == {"feature_dataset/old/merged", "experiment/god_base/left", "feature_dataset/short"}
        assert found["feature_dataset/old/merged"][0].startswith("nothing that ")
        assert found["experiment/god_base/left"][0].startswith("no commit for ")
        assert "no name by the rules" in found["feature_dataset/short"][0]


class TestList:
    def test_newest_first_with_samples(self, tagged):
        git(tagged, "tag", "god_base/release-20240101", "main")
        git(tagged, "tag", "not-a-release")
        rows = {row.tag.name: row for row in list_releases(tagged).releases}
        assert list(rows)[-1] == "god_base/release-20240101" or rows["god_base/v1.0.0"].effective.effective == 520
        assert rows.keys() == {"god_base/v1.0.0", "god_base/v1.1.0", "god_base/release-20240101"}
        assert rows["god_base/v1.0.0"].effective.effective == 100 * 5 + 20
        assert rows["god_base/v1.1.0"].effective.effective == 7
        assert (rows["god_base/release-20240101"].effective, rows["god_base/release-20240101"].tag.tagger) == (None, "")
        assert list_releases(tagged, task="multi_task").releases == ()

    def test_verbs(self, tagged):
        run = CliRunner().invoke
        listed = json.loads(run(admlops, ["data", "list", "--json", "--branches", "--repo", str(tagged)]).stdout)
        assert listed["releases"][0]["tagger"] == "Ada <ada@example.com>"
        assert {row["name"]: row["here"] for row in listed["branches"]} == {"main": True, GOD: True, JOINT: False}
        for arguments in (
            ["list"],
            ["task", "add", "god_hd", "--display-name", "GOD-HD"],
            ["branch", "feature", "toll", "clean", "--task", "god_base"],
            ["branch", "experiment", "god_base", "t1"],
            ["branch", "stale"],
            ["rollback", "god_base/v1.0.0", "--branch", GOD],
            ["sync", "--from", JOINT, "--to", GOD, "--entry", "joint"],
        ):
            done = run(admlops, ["data", *arguments, "--repo", str(tagged)])
            assert (done.exit_code, bool(done.output)) == (0, True), done.output
        assert run(admlops, ["data", "rollback", "god_base/v1.0.0", "--repo", str(tagged)]).exit_code == 2
