from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conversion_helpers import CAR_LINE
from test_convert_source import ROOT, tool_env

from admlops.conversion import CamVidConverter, KittiConverter, combine_releases, convert_source, format_combined
from admlops.data_release import InvalidDatasetFileError, JsonlIndex, open_release
from admlops.errors import DataReleaseError


@pytest.fixture
def releases(kitti_source, camvid_source, tmp_path):
    root = tmp_path / "data"
    convert_source(KittiConverter(kitti_source({"000001": [CAR_LINE]})), root / "kitti", num_workers=1)
    convert_source(CamVidConverter(camvid_source()), root / "camvid" / "train", copy=True, num_workers=1)
    return [root / "kitti", root / "camvid" / "train"]


def edit(folder: Path, change) -> None:
    file = folder / "training_dataset.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_entries_of_all_are_listed_and_the_tree_can_be_moved(releases, tmp_path):
    edit(releases[0], lambda release: release["dataset_index"][0].update(duplicate=3, x_note="ours"))
    combined = combine_releases(releases, tmp_path / "data/real/train", name="real", version="v1.2.0")
    assert [(entry.name, entry.num_records, entry.duplicate) for entry in combined] == [
        ("kitti_training", 1, 3),
        ("camvid_train", 2, 1),
    ]
    content = json.loads((tmp_path / "data/real/train/training_dataset.json").read_text())
    detection = ["det_cyclist_light", "det_person", "det_rear", "det_vehicle_sign"]
    assert content["meta"] == {
        "release_name": "real v1.2.0",
        "consumer_version": "v1.2.0",
        "bundle_versions": ["v1.0.0-release"],
        "version": "v1.2.0",
        "tasks": [*detection, "seg_default"],
    }
    (kitti,) = json.loads((releases[0] / "training_dataset.json").read_text())["dataset_index"]
    assert content["dataset_index"][0] == {**kitti, "obs_path": "../../kitti/kitti_training.jsonl"}
    assert content["dataset_index"][1]["obs_path"] == "../../camvid/train/camvid_train.jsonl"

    (tmp_path / "data").rename(tmp_path / "moved")
    release = open_release(root=tmp_path / "moved/real/train")
    (camvid,) = release.select(["seg_default"])
    record = next(iter(JsonlIndex(camvid.index_path)))
    assert (camvid.base_dir / record["image"]["path"]).is_file()
    assert {entry.name for entry in release.select([*detection, "seg_default"])} == {"kitti_training", "camvid_train"}


def test_paths_hold_where_a_folder_is_a_link(releases, tmp_path):
    (tmp_path / "mnt" / "disk").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "mnt" / "disk", target_is_directory=True)
    combine_releases(releases, tmp_path / "linked" / "deep" / "train")
    assert len(open_release(root=tmp_path / "linked/deep/train").select(["det_rear", "seg_default"])) == 2


def test_entry_without_tags_serves_the_tasks_of_its_own_release(releases, tmp_path):
    edit(releases[1], lambda release: release["dataset_index"][0].pop("task_tags"))
    combined = combine_releases(releases, tmp_path / "out")
    assert combined[1].tasks == ("seg_default",)
    edit(releases[1], lambda release: release["meta"].pop("tasks"))
    with pytest.raises(DataReleaseError, match="does not say which tasks it serves"):
        combine_releases(releases, tmp_path / "out2")


def test_what_cannot_be_combined_leaves_nothing(releases, tmp_path):
    out = tmp_path / "out"

    def refused(folders: list[Path]) -> DataReleaseError:
        with pytest.raises(DataReleaseError) as error:
            combine_releases(folders, out)
        assert not out.exists()
        return error.value

    error = refused([*releases, tmp_path])
    assert (error.code, str(error.where)) == ("E201", str(tmp_path / "training_dataset.json"))
    error = refused([*releases, releases[0]])
    assert error.what == "two entries have the same name"
    assert error.got == f"also kitti_training in {releases[0]}"
    edit(releases[1], lambda release: release["dataset_index"][0].update(name="Kitti_Training"))
    assert refused(releases).what == "two entries have the same name"
    edit(releases[1], lambda release: release["dataset_index"][0].update(name="camvid", obs_path=str(releases[0] / "a.jsonl")))
    assert refused(releases).code == "E401"
    other = tmp_path / "other"
    other.mkdir()
    content = json.loads((releases[0] / "training_dataset.json").read_text())
    content["dataset_index"][0].update(name="again", obs_path="../data/kitti/kitti_training.jsonl")
    (other / "training_dataset.json").write_text(json.dumps(content))
    assert refused([releases[0], other]).what == "two entries have the same index file"
    (releases[0] / "kitti_training.jsonl").write_text("{}\n")
    assert refused(releases[:1]).code == "E402"
    assert refused([]).what == "there is nothing to combine"
    out.mkdir()
    with pytest.raises(DataReleaseError, match="the output folder exists"):
        combine_releases(releases, out)


def test_invalid_version_is_refused(releases, tmp_path):
    with pytest.raises(InvalidDatasetFileError, match="E102"):
        combine_releases(releases, tmp_path / "out", version="1.0")
    assert not (tmp_path / "out").exists()


def test_table(releases, tmp_path):
    assert format_combined(combine_releases(releases[1:], tmp_path / "out")).splitlines() == [
        "entry           records  duplicate  tasks",
        "camvid_train          2          1  seg_default",
        "total                 2             seg_default",
    ]


def test_tool(releases, tmp_path):
    command = [sys.executable, ROOT / "tools" / "combine_releases.py", *releases, "--out-dir", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, env=tool_env(), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"seg_default\n-> {tmp_path / 'out'}\n")
    again = subprocess.run(command, capture_output=True, text=True, env=tool_env(), check=False)
    assert again.returncode == 1
    assert again.stderr.startswith("the output folder exists\n  where:")
