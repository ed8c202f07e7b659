"""data_release.yaml: every fault at once, with line and column, and no secret in any message."""

import pytest

from admlops.data_release.repository.registry import InvalidRegistryError, parse_registry
from admlops.errors import DataReleaseError

VALID = b"""\
schema_version: 1
tasks:
  god_base: {display_name: GOD-Base}
  multi_task:
    display_name: MultiTask
    branch: main
    allowed_tags: [god_base, drivable_2cls]
    description: on and off  # text, as in JSON
dataspechub: {path: ../DataSpecHub, rev: '20251017'}
storage:
  obs: {endpoint: https://obs.example.com, region: cn-north-4, buckets: [a, b]}
x_owner: {anything: [1, 2]}
"""


def faults(text):
    with pytest.raises(InvalidRegistryError) as caught:
        parse_registry(text.encode(), "f.yaml")
    return caught.value.problems


def test_valid_and_its_defaults():
    registry = parse_registry(VALID, "f.yaml")
    assert registry.tasks["god_base"].branch == "master/god_base"
    assert registry.tasks["god_base"].allowed_tags == ("god_base",)
    assert registry.task_of_branch("main") == "multi_task"
    assert registry.allowed_task_names == {"god_base", "multi_task", "drivable_2cls"}
    assert (registry.dataspechub.rev, registry.storage["obs"].checksums) == ("20251017", "when_required")


def test_names_of_releases_come_from_the_registry():
    registry = parse_registry(VALID, "f.yaml")
    assert registry.release_name("god_base", "v1.1.0") == "GOD-Base v1.1.0"
    names = ("GOD-Base v1.1.0", "TrainingDataset v1.2.0", "god_base v1.1.0", "GOD-Base v1.1", "GOD-Base")
    assert [registry.is_release_name(name) for name in names] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("old", "new", "code", "path"),
    [
        ("schema_version: 1", "schema_version: 2", "E121", "$.schema_version"),
        ("schema_version: 1\n", "", "E121", "$.schema_version"),
        ("  god_base: {display_name: GOD-Base}", "  god_base: {}", "E122", "$.tasks.god_base.display_name"),
        ("GOD-Base}", "3}", "E122", "$.tasks.god_base.display_name"),
        ("branch: main", "branch: mainly", "E122", "$.tasks.multi_task.branch"),
        ("[god_base, drivable_2cls]", "[God]", "E122", "$.tasks.multi_task.allowed_tags"),
        ("[god_base, drivable_2cls]", "[]", "E122", "$.tasks.multi_task.allowed_tags"),
        ("path: ../DataSpecHub", "path: a, url: b", "E123", "$.dataspechub"),
        ("rev: '20251017'", "rev: 20251017", "E123", "$.dataspechub.rev"),
        ("rev: '20251017'", "rev: --upload-pack=x", "E123", "$.dataspechub.rev"),
        ("https://obs.example.com", "obs.example.com", "E124", "$.storage.obs.endpoint"),
        ("buckets: [a, b]", "buckets: [1]", "E124", "$.storage.obs.buckets[0]"),
        ("branch: main", "brnch: main", "E126", "$.tasks.multi_task.brnch"),
        ("x_owner", "owner", "E126", "$.owner"),
        ("branch: main", "branch: master/god_base", "E127", "$.tasks.multi_task.branch"),
        ("display_name: MultiTask", "display_name: god-base", "E127", "$.tasks.multi_task.display_name"),
    ],
)
def test_one_fault_one_code(old, new, code, path):
    (problem,) = faults(VALID.decode().replace(old, new))
    assert (problem.code, problem.json_path) == (code, path)


def test_all_faults_at_once_with_line_and_column():
    text = "schema_version: 1\ntasks:\n  a: {display_name: A, brnch: x}\n  b: {display_name: 1}\nstorage: [x]\n"
    found = [(problem.code, problem.position) for problem in faults(text)]
    assert found == [("E126", (3, 24)), ("E122", (4, 7)), ("E124", (5, 1))]
    assert "did you mean 'branch'?" in faults(text)[0].remedy


@pytest.mark.parametrize(
    "line",
    [
        "  obs: {access_key_id: HIDDEN1}",
        "  obs: {AK: HIDDEN1}",
        "  obs: {secret: {a: HIDDEN1}}",
        "  obs: {endpoint: 'https://user:HIDDEN1@host'}",
        "  obs: {region: 'https://h/?X-Amz-Signature=HIDDEN1'}",
        "  x_note: {password: HIDDEN1}",
    ],
)
def test_credentials_are_refused_without_being_shown(line):
    problems = faults(f"schema_version: 1\ntasks: {{a: {{display_name: A}}}}\nstorage:\n{line}\n")
    assert [problem.code for problem in problems] == ["E125"]
    assert "HIDDEN1" not in str(problems)


def test_a_credentials_profile_is_no_secret():
    text = "schema_version: 1\ntasks: {a: {display_name: A}}\nstorage: {obs: {credentials_profile: team}}\n"
    assert parse_registry(text.encode(), "f").storage["obs"].credentials_profile == "team"
    assert parse_registry(b"schema_version: 1\ntasks: {token_seg: {display_name: A}}\n", "f").tasks["token_seg"]
    ssh = "dataspechub: {url: 'git@host:group/DataSpecHub.git'}\n"
    assert parse_registry(f"schema_version: 1\ntasks: {{a: {{display_name: A}}}}\n{ssh}".encode(), "f").dataspechub.url


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"a: 1\na: 2\n", "f:2:1"),
        (b"a: &x 1\nb: *x\n", "f:1:4"),
        (b"a: !!python/object:os.system 1\n", "f:1:4"),
        (b"a: [1\n", "f:2:1"),
        (b"1: 2\n", "f:1:1"),
        (b"a:\n\t- b\n", "f:2:1"),
        (b"\xff\n", "f:1:1"),
        (b"a: 1\n---\nb: 1\n", "f:2:1"),
    ],
)
def test_yaml_that_readers_understand_differently(content, place):
    with pytest.raises(DataReleaseError) as caught:
        parse_registry(content, "f")
    assert (caught.value.code, caught.value.where) == ("E120", place)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"x", b"3", b"tasks: 3\nstorage: x\ndataspechub: [1]\n", b"schema_version: {}\n"]
)
def test_any_type_anywhere_is_a_report_not_a_crash(content):
    assert faults(content.decode())
