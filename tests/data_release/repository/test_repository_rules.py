"""Each rule of a repository: a valid release passes, and what is broken in one place is named by one code."""

import pytest
from git_commands import commit_all, git
from release_repository import MESSAGE, dataset, make_repository, make_tag, release

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import errors_of
from admlops.data_release.repository.check import check_release


@pytest.fixture
def repo(tmp_path):
    return make_repository(tmp_path / "repo")


def check(repo, ref="HEAD", **options):
    return check_release(GitRepository.open(repo), git(repo, "rev-parse", f"{ref}^{{commit}}"), **options)


def codes(problems):
    return [problem.code for problem in problems]


def test_a_valid_release_before_and_after_tagging(repo):
    assert check(repo, tag="god/v1.0.0", strict=True) == ()
    make_tag(repo, "god/v1.0.0")
    assert check(repo, tag="god/v1.0.0", strict=True) == ()
    assert check(repo, branch="master/god", strict=True) == ()


@pytest.mark.parametrize("name", ["sub/training_dataset.json", "training_dataset_old.json", "Training_Dataset.json"])
def test_e201_a_second_dataset_file(repo, name):
    (repo / name).parent.mkdir(exist_ok=True)
    (repo / name).write_text("{}")
    commit_all(repo, MESSAGE.format("x"))
    (problem,) = check(repo, branch="master/god")
    assert (problem.code, problem.got) == ("E201", name)


def test_e201_no_dataset_file_but_on_a_trunk(repo):
    assert codes(check(repo, "main", branch="main")) == []
    assert codes(check(repo, "main", branch="master/god")) == ["E201"]
    (repo / "training_dataset.json").unlink()
    (repo / "training_dataset.json").symlink_to("a.jsonl")
    commit_all(repo, MESSAGE.format("x"))
    assert codes(check(repo, branch="master/god")) == ["E201"]


def test_the_dagger_file_is_no_second_one_but_is_checked(repo):
    (repo / "training_dataset.dagger.json").write_text("{}")
    commit_all(repo, MESSAGE.format("x"))
    assert set(codes(check(repo, branch="master/god"))) == {"E106", "E108"}


@pytest.mark.parametrize("tag", ["god/v1.0.0", "god/v0.9.9"])
def test_e202_a_tag_is_newer_than_its_family(repo, tag):
    make_tag(repo, "god/v1.0.1")
    release(repo, dataset(tag.partition("/")[2]))
    assert codes(check(repo, tag=tag, strict=True)) == ["E202"]


def test_e202_versions_are_numbers_and_families_are_apart(repo):
    make_tag(repo, "god/v1.0.0")
    make_tag(repo, "god/release-20251017")
    release(repo, dataset("v1.0.10"))
    make_tag(repo, "god/v1.0.10")
    release(repo, dataset("v1.0.9"))
    assert codes(check(repo, tag="god/v1.0.9")) == ["E202"]
    assert codes(check(repo, tag="god/release-20251018")) == []


def test_e202_a_tag_lies_on_its_branch(repo):
    git(repo, "switch", "-q", "-c", "feature_dataset/god/night/clean")
    release(repo, dataset("v1.1.0"), "night")
    (problem,) = check(repo, tag="god/v1.1.0", strict=True)
    assert (problem.code, problem.got) == ("E202", "a commit that is not on it")
    assert codes(check(repo, tag="hd/v1.1.0")) == ["E202", "E204"]
    assert codes(check(repo, tag="hda/v1.1.0")) == ["E202"]
    assert codes(check(repo, tag="feature_dataset/night/release-20251018")) == []


def test_e203_an_earlier_tag_is_among_the_branchs_own_commits(repo):
    make_tag(repo, "god/v1.0.0")
    git(repo, "reset", "-q", "--hard", "HEAD~1")
    release(repo, dataset("v1.1.0"))
    for problems in (check(repo, tag="god/v1.1.0"), check(repo, branch="master/god")):
        (problem,) = errors_of(problems)
        assert (problem.code, "rewritten" in problem.got) == ("E203", True)


def test_e203_feature_branches_may_be_merged_and_other_tasks_may_not(repo):
    make_tag(repo, "god/v1.0.0")
    git(repo, "switch", "-q", "-c", "feature_dataset/god/night/clean")
    release(repo, dataset("v1.1.0"), "night")
    git(repo, "switch", "-q", "master/god")
    git(repo, "merge", "-q", "--no-ff", "--no-edit", "feature_dataset/god/night/clean")
    assert codes(check(repo, tag="god/v1.1.0", strict=True)) == []
    git(repo, "switch", "-q", "-c", "master/hd", "main")
    commit_all(repo, MESSAGE.format("hd"))
    git(repo, "switch", "-q", "master/god")
    git(repo, "merge", "-q", "--no-ff", "--no-edit", "master/hd")
    (problem,) = check(repo, tag="god/v1.1.0", strict=True)
    assert (problem.code, problem.got) == ("E203", "of master/hd")


def test_e203_a_merge_with_another_message_is_known_by_its_branch(repo):
    git(repo, "switch", "-q", "-c", "experiment/god/a1")
    release(repo, dataset("v1.0.0"), "trial")
    git(repo, "switch", "-q", "master/god")
    git(repo, "merge", "-q", "--no-ff", "-m", "take the trial over", "experiment/god/a1")
    assert codes(check(repo, branch="master/god")) == []
    git(repo, "branch", "-q", "-m", "experiment/god/a1", "somewhere")
    assert codes(check(repo, branch="master/god")) == ["E203"]


def test_e203_a_pull_that_swaps_parents(repo):
    git(repo, "switch", "-q", "-c", "feature_dataset/god/night/clean")
    release(repo, dataset("v1.1.0"), "night")
    git(repo, "switch", "-q", "master/god")
    release(repo, {**dataset(), "x_note": 1}, "other")
    make_tag(repo, "god/v1.0.0")
    git(repo, "switch", "-q", "feature_dataset/god/night/clean")
    git(repo, "merge", "-q", "--no-edit", "-X", "ours", "master/god")
    git(repo, "branch", "-f", "master/god", "HEAD")
    problems = errors_of(check(repo, tag="god/v1.1.0"))
    assert {problem.code for problem in problems} == {"E203"}
    assert problems[0].got == "it came in by a merge"


def test_e203_here_and_there_went_two_ways(repo, tmp_path):
    git(repo.parent, "clone", "-q", str(repo), "clone")
    clone = repo.parent / "clone"
    release(clone, dataset("v1.0.1"), "mine")
    release(repo, dataset("v1.0.2"), "theirs")
    git(clone, "fetch", "-q")
    assert codes(check(clone, branch="master/god")) == ["E203"]


def test_e204_entries_serve_the_branch(repo):
    document = dataset("v1.0.0", "god", "hd")
    release(repo, document)
    assert codes(check(repo, branch="master/god")) == []
    document["dataset_index"].append({"name": "b", "obs_path": "a.jsonl", "task_tags": ["hd"]})
    release(repo, document)
    (problem,) = check(repo, branch="master/god")
    assert (problem.code, problem.json_path) == ("E204", "$.dataset_index[1].task_tags")
    lines = (repo / "training_dataset.json").read_text().splitlines()
    assert problem.position.line == max(n for n, line in enumerate(lines, 1) if '"task_tags"' in line)


@pytest.mark.parametrize(
    ("old", "new", "severity"),
    [
        ("god/v1.0.0", "god/v1.0.1", "error"),
        ("sha256: ", "sha256: 0", "error"),
        ("consumer_version", "consumer", "warning"),
        ('task_type: "god"', 'task_type: "hd"', "error"),
        ('tasks: ["god"]', "tasks: []", "error"),
        ("training_dataset_version: ", "release: ", "warning"),
    ],
)
def test_e205_the_annotation_is_the_content(repo, old, new, severity):
    text = git(repo, "cat-file", "tag", make_tag(repo, "god/v1.0.0")).partition("\n\n")[2]
    git(repo, "tag", "-d", "god/v1.0.0")
    make_tag(repo, "god/v1.0.0", text.replace(old, new))
    (problem,) = check(repo, tag="god/v1.0.0")
    assert (problem.code, problem.to_json()["severity"]) == ("E205", severity)
    assert not check(repo, tag="god/v1.0.0", strict=True)[0].warning


def test_e205_lightweight_free_text_reused_and_wrong_version(repo):
    git(repo, "tag", "god/v1.0.0")
    git(repo, "tag", "-a", "god/release-20251017", "-m", "Multi-task training v1.0.0")
    other = make_tag(repo, "god/release-20251018")
    git(repo, "update-ref", "refs/tags/god/release-20251019", other)
    for tag in ("god/v1.0.0", "god/release-20251017"):
        assert [(p.code, p.warning) for p in check(repo, tag=tag)] == [("E205", True)]
    what = [problem.what for problem in check(repo, tag="god/release-20251019")]
    assert "the tag object was made for another tag" in what
    assert codes(check(repo, tag="god/v1.1.0", strict=True)) == ["E205"]


def test_e206_pending_and_unpinned_entries(repo):
    document = dataset("v1.0.0")
    document["dataset_index"] += [
        {"name": "b", "obs_path": "", "status": "pending", "task_tags": ["god"]},
        {"name": "c", "obs_path": "obs://bucket/c.jsonl", "task_tags": ["god"]},
    ]
    release(repo, document)
    assert [(p.code, p.warning) for p in check(repo, branch="master/god")] == [("E206", True)] * 2
    assert [(p.code, p.warning) for p in check(repo, tag="god/v1.0.0", strict=True)] == [("E206", False)] * 2
    assert [(p.code, p.warning) for p in check(repo, tag="god/v1.0.0")] == [("E206", False), ("E206", True)]


def test_e208_names(repo):
    assert codes(check(repo, branch="master/God")) == ["E208"]
    assert codes(check(repo, tag="god/v1.0")) == ["E208"]
    assert codes(check(repo, tag="god/release-20250230")) == ["E208"]


def test_e209_messages_of_a_task_branch(repo):
    release_before = check(repo, branch="master/god", strict=True)
    commit_all(repo, "quick fix")
    (problem,) = check(repo, branch="master/god", strict=True)
    assert (release_before, problem.code, problem.warning) == ((), "E209", True)


def test_faults_of_all_files_at_once(repo):
    (repo / "data_release.yaml").write_text(REGISTRY_WITH_TYPO)
    document = dataset("1.0")
    document["dataset_index"][0]["duplicate"] = 0
    (repo / "training_dataset_2.json").write_text("{}")
    release(repo, document)
    problems = check(repo, branch="master/god")
    assert codes(problems) == ["E126", "E102", "E114", "E201"]
    assert str(problems[2]).startswith("training_dataset.json at ")


REGISTRY_WITH_TYPO = "schema_version: 1\ntasks:\n  god: {display_name: GOD, brnch: x}\n"


def test_a_legacy_repository_has_warnings_only(tmp_path):
    repo = tmp_path / "old"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "master")
    document = {
        "meta": {"release_name": "J", "consumer_version": "v1.2.0", "bundle_version": "v1.2.0-20250620", "version": "v1.2.0"},
        "dataset_index": [{"name": "x", "obs_path": "obs://b/x.jsonl.shrink", "duplicate": 3}],
    }
    release(repo, document)
    git(repo, "tag", "-a", "training/v1.2.0", "-m", "x")
    assert errors_of(check(repo, tag="training/v1.2.0")) == ()
    assert errors_of(check(repo, branch="master")) == ()
