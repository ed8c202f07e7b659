from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from conversion_helpers import load_release
from source_images import write_png

from admlops.conversion import SemanticKittiConverter, convert_source
from admlops.errors import ConversionError

CAR_7 = 10 | 7 << 16  # instance 7
TASKS = ["god_base", "god_hd", "drivable_2cls", "drivable_multi"]


@pytest.fixture
def source(tmp_path):
    """Sequences 00 (two sweeps, labelled), 08 (one, labelled) and 11 (one, not labelled), three points each."""
    root = tmp_path / "kitti"
    for sequence, names in {"00": ["000000", "000001"], "08": ["000000"], "11": ["000000"]}.items():
        for name in names:
            sweep = root / "sequences" / sequence / "velodyne" / f"{name}.bin"
            sweep.parent.mkdir(parents=True, exist_ok=True)
            np.arange(12, dtype="<f4").tofile(sweep)
            if sequence != "11":
                label = root / "sequences" / sequence / "labels" / f"{name}.label"
                label.parent.mkdir(exist_ok=True)
                np.array([40, CAR_7, 40], dtype="<u4").tofile(label)
    return root


def test_record_names_sweep_and_labels(source, tmp_path):
    report = convert_source(SemanticKittiConverter(source), tmp_path / "out", num_workers=1)
    records = load_release(tmp_path / "out")
    assert [record["sample_id"] for record in records] == ["00_000000", "00_000001"]
    label = {"point_labels": str(source / "sequences/00/labels/000000.label"), "taxonomy": "semantic_kitti"}
    assert records[0] == {
        "sample_id": "00_000000",
        "lidar": {
            "path": str(source / "sequences/00/velodyne/000000.bin"),
            "dtype": "float32",
            "num_features": 4,
            "origin": [0.0, 0.0, 0.0],
        },
        "labels": dict.fromkeys(TASKS, label),
        "attributes": {"source": "semantic_kitti", "split": "train", "scene": "00", "frame": "000000"},
    }
    assert report["lidar"] == {"points": 6, "sweeps": 2}
    assert report["source_categories"] == {"car": 2, "road": 4}
    assert report["labelled_records"] == dict.fromkeys(sorted(TASKS), 2)
    assert report["unknown"] == {}


def test_copies_make_the_release_movable(source, tmp_path):
    convert_source(SemanticKittiConverter(source, "val"), tmp_path / "out", copy=True, num_workers=1)
    (record,) = load_release(tmp_path / "out")
    assert record["lidar"]["path"] == "lidar/08_000000.bin"
    assert record["labels"]["god_hd"]["point_labels"] == "labels/08_000000.label"
    assert np.fromfile(tmp_path / "out/labels/08_000000.label", "<u4").tolist() == [40, CAR_7, 40]


def test_sequences_without_labels_are_unknown(source, tmp_path):
    report = convert_source(SemanticKittiConverter(source, "all"), tmp_path / "out", num_workers=1)
    assert load_release(tmp_path / "out")[-1]["labels"] == {}
    assert report["refused"] == {"sweep of a sequence without labels: every task unknown": 1}
    assert report["unknown_records"] == {task: {"*": 1} for task in sorted(TASKS)}


def test_camera_where_it_is_there(source, tmp_path):
    write_png(source / "sequences/08/image_2/000000.png", np.zeros((10, 20, 3), np.uint8))
    convert_source(SemanticKittiConverter(source, "val"), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    assert (record["image"]["width"], record["image"]["height"]) == (20, 10)


def test_folder_dataset_and_chosen_sequences(source, tmp_path):
    (source / "dataset").mkdir()
    (source / "sequences").rename(source / "dataset/sequences")
    frames = list(SemanticKittiConverter(source, "all", sequences=("11",)).frames())
    assert [frame.sample_id for frame in frames] == ["11_000000"]
    with pytest.raises(ConversionError, match=r"split 'train' has no sequence '08'(.|\n)*one of 00"):
        list(SemanticKittiConverter(source, sequences=("08",)).frames())
    with pytest.raises(ConversionError, match=r"a folder of SemanticKITTI's layout is missing"):
        list(SemanticKittiConverter(source / "dataset/sequences").frames())


def test_broken_files_are_named(source, tmp_path):
    def convert():
        convert_source(SemanticKittiConverter(source, "val"), tmp_path / "out", num_workers=1)

    label = source / "sequences/08/labels/000000.label"
    np.array([40, 40], "<u4").tofile(label)
    with pytest.raises(
        ConversionError, match=r"the labels do not fit the sweep(.|\n)*12 bytes: 3 points(.|\n)*8 bytes"
    ) as error:
        convert()
    assert error.value.where == label
    np.array([40, 3, 3], "<u4").tofile(label)
    with pytest.raises(ConversionError, match=r"a class that SemanticKITTI does not have(.|\n)*3 on 2 points") as error:
        convert()
    assert error.value.where == label
    label.unlink()
    with pytest.raises(ConversionError, match="a source file is missing: the labels of frame '08_000000'"):
        convert()
    sweep = source / "sequences/08/velodyne/000000.bin"
    sweep.write_bytes(sweep.read_bytes()[:-1])
    np.array([40, 40, 40], "<u4").tofile(label)
    with pytest.raises(ConversionError, match=r"the lidar sweep is truncated(.|\n)*47 bytes") as error:
        convert()
    assert error.value.where == sweep
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_fixture(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "mmdet3d_fixtures/semantickitti"
    report = convert_source(SemanticKittiConverter(source), tmp_path / "out", num_workers=1)
    assert report["lidar"] == {"points": 50, "sweeps": 1}
    assert report["source_categories"] == {
        "building": 25,
        "other-structure": 1,
        "pole": 2,
        "trunk": 3,
        "unlabeled": 2,
        "vegetation": 17,
    }
