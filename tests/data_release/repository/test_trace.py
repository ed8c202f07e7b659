"""From a release to the specifications of its channels: complete, each link missing once, ambiguous, unsatisfied."""

import json

import pytest
from click.testing import CliRunner
from git_commands import commit_all, git
from release_files import write_release
from spec_hub_files import BUNDLE_PATH, CONSUMER_PATH, WEEKLY, get, put, write_hub

from admlops.cli.main import admlops
from admlops.data_release.repository.trace import trace
from admlops.errors import DataReleaseError


@pytest.fixture
def hub(tmp_path):
    return write_hub(tmp_path / "DataSpecHub")


@pytest.fixture
def repo(release_dir, document):
    """A release of the weekly bundle, in a repository."""
    document["meta"]["bundle_versions"] = [WEEKLY]
    for entry in document["dataset_index"]:
        entry["bundle_versions"] = [WEEKLY]
    write_release(release_dir, document)
    git(release_dir, "init", "-q", "-b", "main")
    commit_all(release_dir, "first")
    return release_dir


@pytest.fixture
def follow(repo, hub):
    return lambda **options: trace(repo, "main", dataspechub=hub, **options)


def links(found):
    return [(link.code, link.where.removeprefix(f"bundle {WEEKLY}"), link.required) for link in found.missing]


def chosen(found):
    return {channel.channel: [spec.version for spec in channel.specs] for channel in found.bundles[0].channels}


def edit(hub, path, change):
    content = get(hub, path)
    change(content)
    put(hub, path, content)


def test_a_whole_chain(follow):
    found = follow()
    assert (found.ok, found.missing) == (True, ())
    (bundle,) = found.bundles
    assert (bundle.path, bundle.entries) == (BUNDLE_PATH, ("people", "高速_joint"))
    assert (bundle.consumer.name, bundle.consumer.version, bundle.consumer.path) == ("end_to_end", "v1.2.0", CONSUMER_PATH)
    # The bundle recommends 10 cm, the consumer prefers 5 cm: the consumer's order comes first.
    assert chosen(found) == {
        "image_original": ["1.2.0"],
        "utils_slam": ["1.1.0", "1.0.0"],
        "lidar_points": ["2.1.0_5cm", "2.1.0_10cm"],
    }
    assert bundle.channels[2].specs[0].path == "channels/lidar_points/spec-2.1.0_5cm.yaml"
    assert not bundle.channels[2].required


def test_of_two_versions_in_one_range_the_bundles_order_decides(follow, hub):
    def change(bundle):
        bundle["channels"][1] |= {"available_versions": ["1.0.0", "1.1.0"]}

    edit(hub, BUNDLE_PATH, change)
    assert chosen(follow())["utils_slam"] == ["1.0.0", "1.1.0"]
    edit(hub, BUNDLE_PATH, lambda bundle: bundle["channels"][1].update(recommended_version="1.1.0"))
    assert chosen(follow())["utils_slam"] == ["1.1.0", "1.0.0"]


def test_no_bundle(follow, hub):
    (hub / BUNDLE_PATH).unlink()
    found = follow()
    assert (found.ok, links(found)) == (False, [("E502", "", True)])
    assert found.bundles[0].path is None
    assert f"bundle {WEEKLY} (2 entries)  MISSING" in found.to_text()


def test_no_consumer_falls_back_to_what_the_bundle_was_made_from(follow, hub):
    (hub / CONSUMER_PATH).unlink()
    assert follow().bundles[0].consumer.path == "consumers/end_to_end/latest.yaml"
    edit(hub, "consumers/end_to_end/latest.yaml", lambda consumer: consumer["meta"].update(version="1.3.0"))
    found = follow()
    assert links(found) == [("E504", " > consumer end_to_end", True)]
    # The bundle's own record of the constraint still leads on.
    assert chosen(found)["lidar_points"] == ["2.1.0_5cm", "2.1.0_10cm"]


@pytest.mark.parametrize(
    ("gone", "code", "required"),
    [
        ("channels/image_original/spec-1.2.0.yaml", "E505", True),
        ("channels/utils_slam/spec-1.1.0.yaml", "E505", True),
        ("channels/utils_slam/spec-1.0.0.yaml", "E505", False),  # an alternative, not the version in use
        ("channels/lidar_points/spec-2.1.0_5cm.yaml", "E505", False),  # optional
    ],
)
def test_no_channel_or_no_specification(follow, hub, gone, code, required):
    (hub / gone).unlink()
    channel = gone.split("/")[1]
    found = follow()
    assert links(found) == [(code, f" > channel {channel}", required)]
    assert found.ok is not required


def test_a_channel_that_only_one_side_knows(follow, hub):
    edit(hub, CONSUMER_PATH, lambda consumer: consumer["requirements"].pop(1))
    edit(hub, BUNDLE_PATH, lambda bundle: bundle["channels"].pop(0))
    found = follow()
    assert links(found) == [("E505", " > channel utils_slam", False), ("E505", " > channel image_original", True)]


def test_a_constraint_that_nothing_satisfies(follow, hub):
    edit(hub, CONSUMER_PATH, lambda consumer: consumer["requirements"][1].update(version=">=2.0.0"))
    found = follow()
    drift, unsatisfied = found.missing
    assert (drift.code, drift.required) == ("E506", False)
    assert drift.what == "the bundle was made for >=1.0.0, the consumer asks for >=2.0.0"
    assert (unsatisfied.code, unsatisfied.required) == ("E506", True)
    assert unsatisfied.what == ">=2.0.0 accepts none of 1.1.0, 1.0.0"


def test_a_constraint_or_a_version_that_nobody_can_read(follow, hub):
    edit(hub, CONSUMER_PATH, lambda consumer: consumer["requirements"][1].update(version="about 1"))
    edit(hub, BUNDLE_PATH, lambda bundle: bundle["channels"][0].update(available_versions=["latest", "1.2.0"]))
    assert [link[0] for link in links(follow())] == ["E506", "E506"]


def test_files_that_contradict_their_names_or_are_broken(follow, hub):
    edit(hub, BUNDLE_PATH, lambda bundle: bundle["meta"].update(bundle_version="v1.2.0-2025.26"))
    put(hub, "channels/image_original/spec-1.2.0.yaml", {"meta": {"channel": "image_original", "version": "1.1.0"}})
    (hub / "channels/utils_slam/spec-1.1.0.yaml").write_text("a: [")
    found = follow()
    assert [link.code for link in found.missing] == ["E507", "E507", "E507"]
    assert not found.ok
    (hub / BUNDLE_PATH).write_bytes(b"\xff")
    assert "cannot be read" in follow().to_text()


def test_a_channel_cannot_lead_out_of_the_checkout(follow, hub):
    edit(hub, BUNDLE_PATH, lambda bundle: bundle["channels"][0].update(channel="../../etc"))
    assert ("E505", " > channel ../../etc", True) in links(follow())


@pytest.fixture
def two_consumers(hub):
    bundle = get(hub, BUNDLE_PATH)
    bundle["meta"]["bundle_name"] = "god"
    put(hub, f"bundles/weekly/god-{WEEKLY}.yaml", bundle)
    put(hub, "consumers/god/v1.2.0.yaml", get(hub, CONSUMER_PATH))
    return hub


def test_two_consumers_of_one_version_are_an_error_until_one_is_named(follow, repo, document, two_consumers):
    with pytest.raises(DataReleaseError, match=r"(?s)\[E503\].*could be any of 2 files.*one of end_to_end, god"):
        follow()
    document["meta"]["consumer"] = "god"
    write_release(repo, document)
    commit_all(repo, "second")
    assert follow().bundles[0].path == f"bundles/weekly/god-{WEEKLY}.yaml"
    document["meta"]["consumer"] = "lidar"
    write_release(repo, document)
    commit_all(repo, "third")
    found = follow()
    assert links(found) == [("E502", "", True)]
    assert "there is one of end_to_end, god" in found.missing[0].what


def test_a_consumer_before_the_bundles_version_decides(follow, repo, document, two_consumers):
    bundles = [f"god-{WEEKLY}", f"end_to_end-{WEEKLY}"]
    document["meta"]["bundle_versions"] = bundles
    for entry, bundle in zip(document["dataset_index"], bundles, strict=True):
        entry["bundle_versions"] = [bundle]
    write_release(repo, document)
    commit_all(repo, "second")
    found = follow()
    assert [(bundle.consumer.name, bundle.entries) for bundle in found.bundles] == [
        ("god", ("people",)),
        ("end_to_end", ("高速_joint",)),
    ]


def test_one_bundle_in_two_folders_is_an_error(follow, hub):
    put(hub, f"bundles/release/end_to_end-{WEEKLY}.yaml", get(hub, BUNDLE_PATH))
    with pytest.raises(DataReleaseError, match=r"(?s)\[E503\].*delete one of them"):
        follow()


def test_mixed_bundles_are_followed_one_by_one(follow, repo, hub, document):
    old, snapshot = "v1.1.0-release", "v1.1.0-20250620-143500"
    bundle, consumer = get(hub, BUNDLE_PATH), get(hub, CONSUMER_PATH)
    for folder, version in (("release", old), ("snapshots", snapshot)):
        bundle["meta"] |= {"bundle_version": version, "consumer_version": "v1.1.0"}
        put(hub, f"bundles/{folder}/end_to_end-{version}.yaml", bundle)
    consumer["meta"]["version"] = "1.1.0"
    put(hub, "consumers/end_to_end/v1.1.0.yaml", consumer)
    document["meta"]["bundle_versions"] = [WEEKLY, old, snapshot]
    document["dataset_index"][0]["bundle_versions"] = [old, snapshot]
    write_release(repo, document)
    commit_all(repo, "second")
    found = follow()
    assert found.missing == ()
    assert [(bundle.version, bundle.entries) for bundle in found.bundles] == [
        (WEEKLY, ("高速_joint",)),
        (old, ("people",)),
        (snapshot, ("people",)),
    ]


def test_a_consumer_version_that_no_bundle_was_made_for_is_noted(follow, repo, document):
    document["meta"]["consumer_version"] = "v9.0.0"
    write_release(repo, document)
    commit_all(repo, "second")
    assert [(link.code, link.required) for link in follow().missing] == [("E504", False)]


def test_revision_and_dirt_are_recorded(follow, hub, tmp_path):
    assert (follow().hub.rev, follow().hub.dirty) == (None, False)
    git(hub, "init", "-q", "-b", "main")
    commit = commit_all(hub, "first")
    (tmp_path / "DataSpecHub" / "notes.txt").write_text("beside the specifications")
    assert (follow().hub.rev, follow().hub.dirty) == (commit, False)
    (hub / "channels/image_original/spec-1.3.0.yaml").write_text("meta: {}")
    assert follow().hub.dirty
    assert "with uncommitted changes" in follow().to_text()


def test_data_release_yaml_names_the_checkout_and_pins_it(repo, hub):
    git(hub, "init", "-q", "-b", "main")
    commit = commit_all(hub, "first")
    registry = "schema_version: 1\ntasks: {multi_task: {display_name: MultiTask}}\n"
    (repo / "data_release.yaml").write_text(f"{registry}dataspechub: {{path: ../DataSpecHub, rev: {commit[:10]}}}\n")
    commit_all(repo, "second")
    (hub / BUNDLE_PATH).unlink()
    commit_all(hub, "gone")
    found = trace(repo, "main")
    assert (found.ok, found.hub.rev, found.hub.dirty) == (True, commit, False)
    # Another checkout of it is read at the same revision.
    git(hub.parent, "clone", "-q", str(hub), "clone")
    assert trace(repo, "main", dataspechub=hub.parent / "clone").hub.rev == commit
    (repo / "data_release.yaml").write_text(f"{registry}dataspechub: {{url: https://host/DataSpecHub}}\n")
    with pytest.raises(DataReleaseError, match=r"(?s)\[E501\].*git clone https://host/DataSpecHub DIR"):
        trace(repo, "WORKTREE")
    (repo / "data_release.yaml").write_text(f"{registry}dataspechub: {{path: ../DataSpecHub, rev: v9}}\n")
    with pytest.raises(DataReleaseError, match=r"(?s)\[E501\].*no revision 'v9'"):
        trace(repo, "WORKTREE")


def test_a_checkout_below_the_top_of_its_repository(repo, hub):
    top = hub.parent / "top"
    top.mkdir()
    hub.rename(top / "specs")
    git(top, "init", "-q", "-b", "main")
    commit_all(top, "first")
    registry = "schema_version: 1\ntasks: {multi_task: {display_name: MultiTask}}\n"
    (repo / "data_release.yaml").write_text(f"{registry}dataspechub: {{path: ../top/specs, rev: main}}\n")
    assert trace(repo, "WORKTREE").ok


def test_no_checkout(repo, tmp_path):
    with pytest.raises(DataReleaseError, match=r"(?s)\[E501\].*nobody says where"):
        trace(repo, "main")
    with pytest.raises(DataReleaseError, match=r"(?s)\[E501\].*there is no checkout"):
        trace(repo, "main", dataspechub=tmp_path / "nowhere")
    with pytest.raises(DataReleaseError, match=r"(?s)\[E501\].*no checkout of DataSpecHub"):
        trace(repo, "main", dataspechub=repo)


def test_the_dagger_file_is_opened_only_when_asked_for(follow, repo, document):
    (repo / "training_dataset.dagger.json").write_text("{ broken")
    commit_all(repo, "second")
    assert follow().ok
    document["meta"] |= {"training_type": "dagger", "consumer_version": "v9.0.0"}
    write_release(repo, document, "training_dataset.dagger.json")
    (repo / "training_dataset.json").write_text("{ broken")
    commit_all(repo, "third")
    assert follow(kind="dagger").consumer_version == "v9.0.0"


def test_the_verb(repo, hub):
    def run(*words):
        return CliRunner().invoke(admlops, ["data", "trace", "--repo", str(repo), "--dataspechub", str(hub), "main", *words])

    text = run()
    assert text.exit_code == 0
    assert text.output.splitlines()[2:6] == [
        f"└── bundle {WEEKLY} (2 entries)  {BUNDLE_PATH}",
        f"    └── consumer end_to_end v1.2.0  {CONSUMER_PATH}",
        "        ├── channel image_original  1.2.0",
        "        │   └── 1.2.0  channels/image_original/spec-1.2.0.yaml",
    ]
    assert json.loads(run("--json").output)["bundles"][0]["channels"][2]["constraint"] == "[2.1.0_5cm, >=2.1.0]"
    (hub / BUNDLE_PATH).unlink()
    assert run().exit_code == 1
    put(hub, BUNDLE_PATH, {})
    assert run().exit_code == 1
