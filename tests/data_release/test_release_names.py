import pytest

from admlops.data_release import names


@pytest.mark.parametrize(
    "name",
    [
        "master/multi_task",
        "feature_dataset/toll_station/strict",
        "feature_dataset/god_base/toll_station/strict",
        "feature_dataset/收费站/清洗",
        "experiment/toll_station/ablation-01",
        "main",
        "release/v1.2.0",
        "hotfix/v1.2.0-lanes",
    ],
)
def test_branches(name):
    assert names.is_branch(name)


@pytest.mark.parametrize(
    "name",
    [
        "master/Multi",
        "master/multi_task/x",
        "feature_dataset/x",
        "experiment/a/b/c",
        "hotfix/v1.2.0",
        "main\n",
        "feature_dataset/a/..b",
    ],
)
def test_no_branches(name):
    assert not names.is_branch(name)


@pytest.mark.parametrize("name", ["multi_task/v1.0.0", "god_base/release-20251017", "feature_dataset/toll/release-20250709"])
def test_tags(name):
    assert names.is_tag(name)


@pytest.mark.parametrize(
    "name", ["v1.0.0", "multi_task/v1.0", "multi_task/v01.0.0", "god/release-20250230", "feature_dataset/toll/v1.0.0"]
)
def test_no_tags(name):
    assert not names.is_tag(name)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("v1.2.0-20251017-100000", True),
        ("v1.1.0-20250618", True),
        ("v1.2.0-2025.25", True),
        ("v1.1.0-release", True),
        ("end_to_end-v1.2.0-2025.25", True),
        ("v1.2.0", False),
        ("v1.2.0-20251317-100000", False),
        ("v1.2.0-20251017-256000", False),
        ("v1.2.0-2025.54", False),
    ],
)
def test_bundle_versions(name, valid):
    assert names.is_bundle_version(name) is valid


def test_release_names():
    assert names.release_display_name("TrainingDataset v1.2.0") == "TrainingDataset"
    assert names.release_display_name("GOD-Base v1.1.0") == "GOD-Base"
    assert names.release_display_name("GOD-Base 1.1.0") is None
