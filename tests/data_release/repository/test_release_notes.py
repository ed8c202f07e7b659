"""Notes of a tag, on a tiny real repository with a tiny DataSpecHub: complete, deterministic, atomic."""

import copy
import json

import pytest
from click.testing import CliRunner
from git_commands import DATE, commit_all, git
from release_files import write_jsonl, write_release
from spec_hub_files import BUNDLE_PATH, WEEKLY, write_hub

from admlops.cli.main import admlops
from admlops.data_release.repository.release import release
from admlops.errors import ConfigError, DataReleaseError, MachineError

REGISTRY = """\
schema_version: 1
tasks: {multi_task: {display_name: Multi|Task, allowed_tags: [det_person, seg_lane]}}
dataspechub: {path: ../DataSpecHub, rev: main}
"""
MESSAGE = """\
date: "2026-01-02"
type: "modify(clean)"
description: "drop <dark> frames"
task_tag: "DATA-7"
"""


@pytest.fixture
def hub(tmp_path):
    hub = write_hub(tmp_path / "DataSpecHub")
    git(hub, "init", "-q", "-b", "main")
    commit_all(hub, "first")
    return hub


@pytest.fixture
def repo(release_dir, document, hub):
    """multi_task/v1.9.0 and v1.10.0 (people 2 x 5 -> 3 x 5, cleaned), and a dated tag of another family between them."""
    document["meta"] |= {"bundle_versions": [WEEKLY], "description": "daylight"}
    for entry in document["dataset_index"]:
        entry["bundle_versions"] = [WEEKLY]
    write_release(release_dir, document)
    (release_dir / "data_release.yaml").write_text(REGISTRY)
    git(release_dir, "init", "-q", "-b", "main")
    commit_all(release_dir, "first")
    git(release_dir, "tag", "-a", "-m", "x", "multi_task/v1.9.0")
    git(release_dir, "tag", "-a", "-m", "x", "multi_task/release-20260101")
    write_jsonl(release_dir / "people.jsonl", ["p0", "p1", "p2"])
    commit_all(release_dir, MESSAGE)
    commit_all(release_dir, "by hand")
    git(release_dir, "tag", "-a", "-m", "x", "multi_task/v1.10.0")
    return release_dir


def test_what_the_notes_say(repo):
    notes = release(repo, "multi_task/v1.10.0", samples=True)
    assert (notes.title, notes.previous) == ("Multi|Task v1.10.0", "multi_task/v1.9.0")
    assert notes.tag.date == DATE
    text = notes.to_markdown()
    for line in (
        "# Multi\\|Task v1.10.0",
        "daylight",
        f"| tagged | {DATE} by t \\<t@t> |",
        f"| bundles | {WEEKLY} |",
        "| det_person | 6 | 24 | 100.0 % | 0 |",  # 3 x 5 + 3 x 3
        "| 高速_joint | 3 | 3 | 9 | 37.5 % | det_person, seg_lane |",
        "Since multi_task/v1.9.0: 0 added, 0 removed, 1 changed, 1 alike.",
        "| det_person | 19 | 24 | +5 |",
        "└── bundle v1.2.0-2025.25 (2 entries)  bundles/weekly/end_to_end-v1.2.0-2025.25.yaml",
        "no link is missing",
    ):
        assert line in text.splitlines(), line
    assert "; samples: 1 added, 0 removed, 0 changed" in text
    assert "2026-01-02 modify(clean): drop \\<dark> frames (DATA-7)" in text
    assert [commit.description for commit in notes.commits] == ["by hand", "drop <dark> frames"]


def test_the_same_bytes_whenever_and_wherever_they_are_written(repo, hub, tmp_path, monkeypatch):
    release(repo, "multi_task/v1.10.0", out=tmp_path / "one" / "notes.md")
    clone, other_hub = tmp_path / "elsewhere" / "repo", tmp_path / "elsewhere" / "DataSpecHub"
    git(tmp_path, "clone", "-q", str(repo), str(clone))
    git(tmp_path, "clone", "-q", str(hub), str(other_hub))
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    release(clone, "multi_task/v1.10.0", out=tmp_path / "two" / "notes.md")
    for name in ("notes.md", "notes.json"):
        content = (tmp_path / "one" / name).read_bytes()
        assert content == (tmp_path / "two" / name).read_bytes()
        assert str(tmp_path).encode() not in content
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["notes.json", "notes.md"]


def test_the_json_artefact(repo, tmp_path):
    notes = release(repo, "refs/tags/multi_task/v1.10.0", out=tmp_path / "notes.md")
    assert notes.to_text() == f"-> {tmp_path / 'notes.md'}\n-> {tmp_path / 'notes.json'}"
    content = json.loads((tmp_path / "notes.json").read_bytes())
    assert content["tag"]["tag"] == "multi_task/v1.10.0"
    assert content["diff"]["before"]["ref"] == "multi_task/v1.9.0"
    assert content["diff"]["tasks"]["seg_lane"] == {
        side: {"samples": 3, "effective": 9, "unknown": []} for side in ("before", "after")
    }
    assert (content["trace"]["ok"], content["trace"]["hub"]["dirty"]) == (True, False)


def test_the_first_of_a_family_and_a_chosen_predecessor(repo):
    first = release(repo, "multi_task/v1.9.0")
    assert (first.previous, first.diff, first.commits) == (None, None, ())
    assert "The first release of its family." in first.to_markdown()
    dated = release(repo, "multi_task/release-20260101")
    assert (dated.previous, dated.title) == (None, "Multi|Task v1.0.3")
    assert release(repo, "multi_task/v1.10.0", previous="multi_task/release-20260101").diff.before.ref.endswith("20260101")


def test_what_is_missing_and_what_cannot_be_traced_is_said(repo, hub, document):
    (hub / BUNDLE_PATH).unlink()
    commit_all(hub, "second")
    assert "- \\[E502\\] bundle v1.2.0-2025.25: the bundle has no file" in release(repo, "multi_task/v1.10.0").to_markdown()
    hub.rename(hub.with_name("gone"))
    notes = release(repo, "multi_task/v1.10.0")
    assert "Not traced: \\[E501\\] there is no checkout of DataSpecHub" in notes.to_markdown()
    assert notes.to_json()["trace"] == {"ok": False, "error": "[E501] there is no checkout of DataSpecHub"}


def test_names_with_markup_stay_text(repo, document):
    after = copy.deepcopy(document)
    after["dataset_index"][0] |= {"name": "a|b `c` <d> [e]", "duplicate": 6}
    write_release(repo, after)
    commit_all(repo, "third")
    git(repo, "tag", "-a", "-m", "x", "multi_task/v1.11.0")
    assert "- a\\|b \\`c\\` \\<d> \\[e\\] (was people): duplicate 5 -> 6" in release(repo, "multi_task/v1.11.0").to_markdown()


def test_a_lightweight_tag_of_a_repository_without_registry(repo):
    git(repo, "rm", "-q", "data_release.yaml")
    commit_all(repo, "third")
    git(repo, "tag", "multi_task/v2.0.0")
    notes = release(repo, "multi_task/v2.0.0")
    assert (notes.title, notes.tag.tagger, notes.trace) == ("Joint", "", None)


def test_only_tags_have_notes(repo):
    with pytest.raises(DataReleaseError, match=r"\[E207\]"):
        release(repo, "main")
    with pytest.raises(DataReleaseError, match=r"(?s)\[E207\].*did you mean 'multi_task/v1.10.0'"):
        release(repo, "multi_task/v1.10.1")
    with pytest.raises(DataReleaseError, match=r"\[E207\]"):
        release(repo, "multi_task/v1.10.0", previous="v0")


def test_files_that_cannot_be_written(repo, tmp_path):
    with pytest.raises(ConfigError, match="the notes are Markdown"):
        release(repo, "multi_task/v1.10.0", out=tmp_path / "notes.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match=r"\[E404\]"):
        release(repo, "multi_task/v1.10.0", out=tmp_path / "file" / "notes.md")


def test_the_dagger_file_is_never_opened(repo):
    (repo / "training_dataset.dagger.json").write_text("{ broken")
    commit_all(repo, "third")
    git(repo, "tag", "-a", "-m", "x", "multi_task/v1.12.0")
    assert release(repo, "multi_task/v1.12.0").diff.unchanged == 2


def test_the_verb(repo, tmp_path):
    def run(*words):
        return CliRunner().invoke(admlops, ["data", "release", "--repo", str(repo), "multi_task/v1.10.0", *words])

    assert run().output.startswith("# Multi\\|Task v1.10.0\n\ndaylight\n")
    assert json.loads(run("--json").output)["format"] == 1
    done = run("--out", str(tmp_path / "notes.md"))
    assert (done.exit_code, done.output.count("-> ")) == (0, 2)
