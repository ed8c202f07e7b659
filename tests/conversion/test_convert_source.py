from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conversion_helpers import CAR_LINE, load_release, snapshot

from admlops.conversion import CamVidConverter, KittiConverter, convert_source, format_report
from admlops.conversion.convert_source import CHUNK_FRAMES
from admlops.errors import ConfigError, ConversionError, MachineError, RecordError

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "convert.py"


def run_tool(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *map(str, args)], capture_output=True, text=True, env=tool_env(), check=False)


def tool_env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def wait_until(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_copies_make_a_release_that_can_be_moved(kitti_source, tmp_path):
    root = kitti_source({"000001": [CAR_LINE]}, lidar=True)
    convert_source(KittiConverter(root), tmp_path / "out", copy=True, name="my_kitti")
    (tmp_path / "out").rename(tmp_path / "moved")
    (record,) = load_release(tmp_path / "moved")
    assert (record["image"]["path"], record["lidar"]["path"]) == ("images/000001.png", "lidar/000001.bin")
    files = snapshot(tmp_path / "moved")
    assert set(files) == {"images/000001.png", "lidar/000001.bin", "my_kitti.jsonl", "report.json", "training_dataset.json"}
    assert files["images/000001.png"] == (root / "training/image_2/000001.png").read_bytes()


def test_one_process_or_two_give_the_same_files(camvid_source, tmp_path):
    source = camvid_source(tuple(f"seq_{i:04d}" for i in range(2 * CHUNK_FRAMES + 3)))
    for workers in (1, 2):
        convert_source(CamVidConverter(source), tmp_path / f"out{workers}", num_workers=workers)
    assert len(load_release(tmp_path / "out1")) == 2 * CHUNK_FRAMES + 3
    assert snapshot(tmp_path / "out1") == snapshot(tmp_path / "out2")


def test_killed_conversion_leaves_nothing_half_written_and_continues(kitti_source, tmp_path, monkeypatch):
    names = [f"{i:06d}" for i in range(3 * CHUNK_FRAMES)]
    source = kitti_source({name: [CAR_LINE] for name in names})
    convert_source(KittiConverter(source), tmp_path / "uninterrupted", name="kitti", num_workers=1)

    # A pipe that nobody writes to holds the last frame, and with it the last chunk, for ever.
    last = source / "training/label_2" / f"{names[-1]}.txt"
    last.unlink()
    os.mkfifo(last)
    out = tmp_path / "out"
    command = [sys.executable, str(TOOL), "kitti", str(source), "--out-dir", str(out), "--name", "kitti", "--workers", "2"]
    process = subprocess.Popen(command, env=tool_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(list(out.with_name("out.partial").glob("chunks/*.jsonl"))) == 2)
        workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        assert len(workers) >= 2
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not any(map(is_running, workers)))
    assert not out.exists()

    last.unlink()
    last.write_text(CAR_LINE + "\n")
    converted = []
    convert = KittiConverter.convert
    monkeypatch.setattr(KittiConverter, "convert", lambda self, f, w: converted.append(f.sample_id) or convert(self, f, w))
    convert_source(KittiConverter(source), out, name="kitti", num_workers=1)
    assert converted == names[2 * CHUNK_FRAMES :]
    assert snapshot(out) == snapshot(tmp_path / "uninterrupted")
    assert not out.with_name("out.partial").exists()


def test_continuing_converts_again_what_changed_meanwhile(kitti_source, tmp_path):
    names = [f"{i:06d}" for i in range(2 * CHUNK_FRAMES)]
    source = kitti_source({name: [CAR_LINE] for name in names})
    last = source / "training/label_2" / f"{names[-1]}.txt"
    last.write_text("Car\n")
    with pytest.raises(ConversionError, match="malformed line"):
        convert_source(KittiConverter(source), tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out").exists()
    last.write_text(CAR_LINE + "\n")
    first = source / "training/label_2" / f"{names[0]}.txt"
    first.write_text(CAR_LINE.replace("Car", "Cyclist") + "\n")
    report = convert_source(KittiConverter(source), tmp_path / "out", num_workers=1)
    assert report["source_categories"] == {"Car": 2 * CHUNK_FRAMES - 1, "Cyclist": 1}


def test_other_options_start_anew(camvid_source, tmp_path):
    source = camvid_source(("a_1", "b_1"))
    mask = source / "CamVid/trainannot/b_1.png"
    whole = mask.read_bytes()
    mask.write_bytes(whole[:-1])
    with pytest.raises(ConversionError, match="truncated"):
        convert_source(CamVidConverter(source), tmp_path / "out", num_workers=1)
    mask.write_bytes(whole)
    (source / "CamVid/train.txt").write_text("train/b_1.png trainannot/b_1.png\n")
    convert_source(CamVidConverter(source), tmp_path / "out", num_workers=1)
    assert {name for name in snapshot(tmp_path / "out") if name.startswith("masks")} == {"masks/b_1.png"}


@pytest.mark.parametrize(("limit", "kept"), [(1, [0]), (3, [0, 23, 46]), (70, range(70)), (99, range(70))])
def test_a_limit_takes_frames_of_the_whole_split(kitti_source, tmp_path, limit, kept):
    source = kitti_source({f"{i:06d}": [CAR_LINE] for i in range(70)})  # 70 / 3 = 23.3
    convert_source(KittiConverter(source), tmp_path / "out", num_workers=1, limit=limit)
    assert [record["sample_id"] for record in load_release(tmp_path / "out")] == [f"{i:06d}" for i in kept]


def test_output_that_is_in_use_is_left_alone(kitti_source, tmp_path):
    converter = KittiConverter(kitti_source({"000001": []}))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(ConversionError, match="the output folder is not empty"):
        convert_source(converter, tmp_path / "full")
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine.txt").touch()
    with pytest.raises(ConversionError, match=r"holds something else(.|\n)*mine\.txt"):
        convert_source(converter, tmp_path / "out")
    (tmp_path / "out.partial" / "mine.txt").unlink()
    with (tmp_path / "out.partial" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConversionError, match="another conversion writes to this folder"):
            convert_source(converter, tmp_path / "out")
    with pytest.raises(ConversionError, match="unusable --name"):
        convert_source(converter, tmp_path / "out", name="a/b")
    (tmp_path / "out").mkdir()
    convert_source(converter, tmp_path / "out")


def test_source_without_frames_is_refused(kitti_source, tmp_path):
    root = kitti_source({"000001": []})
    (root / "training/image_2/000001.png").unlink()
    (root / "training/label_2/000001.txt").unlink()
    with pytest.raises(ConversionError, match="kitti split 'training' holds no frame"):
        convert_source(KittiConverter(root), tmp_path / "out")


def test_converter_that_breaks_the_record_contract_is_stopped(kitti_source, tmp_path, monkeypatch):
    convert = KittiConverter.convert

    def broken(change):
        def convert_and_break(self, frame, writer):
            record = convert(self, frame, writer)
            change(record)
            return record

        return convert_and_break

    converter = KittiConverter(kitti_source({"000001": [CAR_LINE]}))
    monkeypatch.setattr(KittiConverter, "convert", broken(lambda record: record.update(extra=1)))
    with pytest.raises(RecordError, match=r"unknown key 'extra'(.|\n)*kitti frame 000001"):
        convert_source(converter, tmp_path / "out", num_workers=1)
    rename = broken(lambda record: record["labels"]["det_rear"].update(categories=["rear"]))
    monkeypatch.setattr(KittiConverter, "convert", rename)
    with pytest.raises(ConfigError, match="task 'det_rear' has no class 'rear'"):
        convert_source(converter, tmp_path / "out", num_workers=1)
    misspell = broken(lambda record: record["labels"].update(det_rears={"boxes": [], "categories": []}))
    monkeypatch.setattr(KittiConverter, "convert", misspell)
    with pytest.raises(ConfigError, match=r"unknown task 'det_rears'(.|\n)*did you mean 'det_rear'"):
        convert_source(converter, tmp_path / "out", num_workers=1)


def test_folder_that_cannot_be_written(kitti_source, tmp_path):
    converter = KittiConverter(kitti_source({"000001": []}))
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"a file cannot be read or written: Not a directory(.|\n)*file/out.partial"):
        convert_source(converter, tmp_path / "file" / "out")


def test_a_list_that_cannot_be_read_is_named(kitti_source, tmp_path, monkeypatch):
    source = kitti_source({"000001": [CAR_LINE]})
    monkeypatch.setattr(KittiConverter, "frames", lambda self: [(self.source_root / "gone.txt").read_text()])
    with pytest.raises(MachineError, match=r"a file cannot be read(.|\n)*gone\.txt"):
        convert_source(KittiConverter(source), tmp_path / "out", num_workers=1)


def test_full_disk_says_so(kitti_source, tmp_path, monkeypatch):
    def fail(self, frame, writer):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(KittiConverter, "convert", fail)
    converter = KittiConverter(kitti_source({"000001": []}))
    with pytest.raises(MachineError, match=r"the disk is full(.|\n)*it continues"):
        convert_source(converter, tmp_path / "out", num_workers=1)


def test_report_names_counts_unknown_and_refused(kitti_source, tmp_path):
    source = kitti_source({"000001": [CAR_LINE, CAR_LINE.replace("Car", "Misc")]})
    text = format_report(convert_source(KittiConverter(source), tmp_path / "out"))
    assert "kitti_training: 1 records" in text
    assert "vehicle                  1 boxes, 1 ignored" in text
    assert "det_cyclist_light        traffic_light" in text
    assert "1  Misc: ignore box in every camera task" in text


def test_tool_converts_and_refuses(camvid_source, tmp_path):
    source = camvid_source()
    done = run_tool("camvid", source, "--out-dir", tmp_path / "out", "--tree", "vegetation", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "camvid_train: 2 records" in done.stdout
    assert "100%" in done.stderr
    load_release(tmp_path / "out")
    again = run_tool("camvid", source, "--out-dir", tmp_path / "out")
    assert again.returncode == 1
    assert again.stderr.startswith("the output folder is not empty\n  where:")
    assert "expected a number from 1 on" in run_tool("camvid", source, "--out-dir", "x", "--workers", "0").stderr


def test_tasks_that_no_record_labels_are_not_released(kitti_source, tmp_path, monkeypatch):
    convert = KittiConverter.convert

    def without_rear(self, frame, writer):
        record = convert(self, frame, writer)
        del record["labels"]["det_rear"]
        if frame.sample_id == "000002":
            del record["labels"]["det_person"]
        return record

    monkeypatch.setattr(KittiConverter, "convert", without_rear)
    convert_source(KittiConverter(kitti_source({"000001": [], "000002": []})), tmp_path / "out", num_workers=1)
    (entry,) = json.loads((tmp_path / "out/training_dataset.json").read_text())["dataset_index"]
    assert entry["task_tags"] == ["det_cyclist_light", "det_person", "det_vehicle_sign"]
