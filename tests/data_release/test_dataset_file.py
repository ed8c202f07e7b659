import json
import logging
import pickle

import pytest

from admlops.data_release import InvalidDatasetFileError, check_dataset_file, read_dataset_file

SHA = "0" * 64
GONE = object()


def broken(document, path, value):
    node = document
    for part in path[:-1]:
        node = node[part]
    if value is GONE:
        del node[path[-1]]
    elif isinstance(node, list) and path[-1] == len(node):
        node.append(value)
    else:
        node[path[-1]] = value
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def meta(key):
    return ("meta", key)


def entry(key, i=0):
    return ("dataset_index", i, key)


def test_valid_file(document):
    dataset = read_dataset_file(json.dumps(document).encode(), "f.json")
    assert dataset.meta.tasks == ("det_person", "seg_lane")
    assert [e.duplicate for e in dataset.dataset_index] == [5, 3]
    assert dataset.dataset_index[1].task_tags == ("det_person", "seg_lane")


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (meta("release_name"), GONE, "E101"),
        (meta("release_name"), "", "E101"),
        (meta("release_name"), "x" * 129, "E101"),
        (meta("consumer_version"), "1.2.0", "E102"),
        (meta("version"), "v1.02.0", "E102"),
        (meta("consumer"), 3, "E103"),
        (meta("bundle_versions"), [], "E104"),
        (meta("bundle_versions"), ["v1.2.0-20251017-100000"] * 2, "E104"),
        (meta("bundle_version"), "v1.2.0-20251017-100000", "E104"),
        (meta("tasks"), ["det_person", "seg_lane", "seg_lane"], "E105"),
        (meta("tasks"), ["det_person", "seg_lane", "Seg"], "E105"),
        (meta("training_type"), "dagger", "E106"),
        (meta("training_type"), "other", "E106"),
        (meta("status"), "done", "E107"),
        (meta("description"), 1, "E107"),
        (("meta",), GONE, "E108"),
        (("dataset_index",), [], "E108"),
        (("dataset_index",), {}, "E108"),
        (entry("name"), "a/b", "E110"),
        (entry("name"), "e\u0301", "E110"),
        (entry("name"), "高速_JOINT", "E111"),
        (entry("obs_path"), "ftp://host/a.jsonl", "E112"),
        (entry("obs_path"), "s3://key:secret@bucket/a.jsonl", "E112"),
        (entry("obs_path"), "https://host/a.jsonl?X-Amz-Signature=1", "E112"),
        (entry("obs_path"), GONE, "E112"),
        (entry("bundle_versions"), ["v1.3.0-release"], "E113"),
        (entry("duplicate"), 0, "E114"),
        (entry("duplicate"), 1001, "E114"),
        (entry("duplicate"), True, "E114"),
        (entry("duplicate"), "3", "E114"),
        (entry("duplicate"), 3.0, "E114"),
        (entry("task_tags"), ["god_base"], "E115"),
        (entry("task_tags"), [], "E115"),
        (entry("status"), "gone", "E107"),
        (entry("integrity"), {"sha256": "abc", "bytes": 1, "num_samples": 1}, "E116"),
        (entry("integrity"), {"sha256": SHA, "bytes": 1.5, "num_samples": 1}, "E116"),
        (entry("integrity"), {"sha256": SHA, "bytes": 1}, "E116"),
    ],
)
def test_one_fault_one_code(document, path, value, code):
    problems = check_dataset_file(broken(document, path, value), "f.json")
    assert {problem.code for problem in problems} == {code}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (entry("task_tags"), GONE),
        (entry("bundle_versions"), GONE),
        (entry("duplicate"), GONE),
        (entry("obs_path"), ""),
        (entry("obs_path"), "obs://bucket/ide/cleantask/clip_494.jsonl.shrink"),
        (entry("obs_path"), "file:///data/a.jsonl"),
        (entry("status"), "pending"),
        (entry("integrity"), {"sha256": SHA, "bytes": 0, "num_samples": 0}),
        (meta("consumer_version"), "v1.0.2-finetuning"),
        (meta("x_ticket"), {"any": ["thing"]}),
    ],
)
def test_legal_variants(document, path, value):
    assert check_dataset_file(broken(document, path, value), "f.json", strict=True) == ()


def test_legacy_file_with_one_bundle_and_no_tags():
    legacy = {
        "meta": {
            "release_name": "JointTrain_20250727",
            "consumer_version": "v1.2.0",
            "bundle_version": "v1.2.0-20250620-143500",
            "created_at": "2025-07-27 15:00:00",
            "description": "基础模型联合训练数据集",
            "version": "v1.2.0",
        },
        "dataset_index": [{"name": "simple_合理博弈导航换道_18873", "obs_path": "obs://b/换道.jsonl.shrink", "duplicate": 3}],
    }
    dataset = read_dataset_file(json.dumps(legacy, ensure_ascii=False).encode(), "f.json")
    assert dataset.meta.bundle_versions == ("v1.2.0-20250620-143500",)
    assert dataset.dataset_index[0].task_tags is None


def test_entry_of_a_mixed_release_says_its_bundles(document):
    document["meta"]["bundle_versions"].append("v1.3.0-2025.25")
    problems = check_dataset_file(broken(document, entry("bundle_versions"), GONE), "f.json")
    assert [(p.code, p.json_path) for p in problems] == [("E113", "$.dataset_index[0]")]


def test_all_faults_at_once_with_line_and_column():
    content = b"""{"meta": {"release_name": "Joint", "consumer_version": "v1", "version": "v1.0.0",
  "bundle_versions": ["v1.0.0-release"], "tasks": ["seg_lane"]},
 "dataset_index": [
  {"name": "a", "obs_path": "a.jsonl",
   "duplicate": true, "task_tags": ["seg_lame"]}]}"""
    with pytest.raises(InvalidDatasetFileError) as caught:
        read_dataset_file(content, "f.json")
    found = [(p.code, p.json_path, p.position) for p in caught.value.problems]
    assert found == [
        ("E102", "$.meta.consumer_version", (1, 36)),
        ("E114", "$.dataset_index[0].duplicate", (5, 4)),
        ("E115", "$.dataset_index[0].task_tags[0]", (5, 37)),
    ]
    message = str(caught.value)
    assert "3 faults" in message
    assert "f.json:5:37 [E115]" in message
    assert "did you mean 'seg_lane'?" in message
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.problems == caught.value.problems


def test_unknown_key_warns_on_load_and_fails_before_tagging(document, caplog):
    content = broken(document, entry("task_tag"), ["seg_lane"])
    with caplog.at_level(logging.WARNING):
        read_dataset_file(content, "f.json")
    assert "did you mean 'task_tags'?" in caplog.text
    with pytest.raises(InvalidDatasetFileError, match="E117"):
        read_dataset_file(content, "f.json", strict=True)


def test_tasks_must_be_registered_where_there_is_a_registry(document):
    problems = check_dataset_file(json.dumps(document).encode(), "f.json", registered_tasks=["det_person", "seg_lanes"])
    assert [(p.code, p.json_path) for p in problems] == [("E105", "$.meta.tasks[1]")]


@pytest.mark.parametrize(
    "raw", [[], "x", None, {"meta": [], "dataset_index": [1, None, {}]}, {"meta": {"tasks": 1, "bundle_versions": 3}}]
)
def test_any_type_anywhere_is_a_report_not_a_crash(raw):
    problems = check_dataset_file(json.dumps(raw).encode(), "f.json")
    assert problems
