import json
import pickle
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from tiny_release import make_record, people, write_image, write_release

from admlops.datasets import ReleaseDataset, ReleaseSampler, SampleKey, init_worker
from admlops.datasets.sample_key import make_rng
from admlops.datasets.transforms import LoadImage, LoadLabels, PackMultiTask, Photometric, RandomCrop, RandomFlip
from admlops.errors import AdmlopsError, ConfigError, DataReleaseError, RecordError
from admlops.task_spec import CAMERA_TASKS, resolve_task

HW = (40, 64)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Two entries, 4 + 3 images of 40x64, the second one twice: V = 10."""
    root = tmp_path / "release"
    label = {"det_person": {"boxes": [[10, 10, 30, 30]], "categories": ["person"]}}
    entries = []
    for name, count, duplicate in (("one", 4, 1), ("two", 3, 2)):
        for i in range(count):
            write_image(root / name / f"{i}.jpg", HW, seed=10 * duplicate + i)
        records = [make_record(f"{name}-{i}", f"{i}.jpg", HW, label) for i in range(count)]
        entries.append({"name": name, "records": records, "duplicate": duplicate})
    return write_release(root, entries, ["det_person"])


def _pipeline() -> list[dict[str, Any]]:
    return [
        {"type": LoadImage},
        {"type": LoadLabels},
        {"type": RandomCrop, "crop_hw": (32, 48)},
        {"type": RandomFlip},
        {"type": Photometric},
        {"type": PackMultiTask},
    ]


def _loader(release: Path, **loader: Any) -> Any:
    dataset = {"type": ReleaseDataset, "data_release": {"root": str(release)}, "tasks": ["det_person"], "pipeline": _pipeline()}
    config = {"dataset": dataset, "sampler": {"type": ReleaseSampler}, "batch_size": 3, "num_workers": 0}
    return Runner.build_dataloader(config | loader, seed=5)


def _first(loader: Any, batches: int) -> list[tuple[str, bytes, list]]:
    seen = []
    for _, batch in zip(range(batches), loader, strict=False):
        for inputs, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
            seen.append((sample.sample_id, inputs.numpy().tobytes(), sample.gt.det_person.instances.bboxes.tolist()))
    return seen


def test_virtual_length_and_places(release: Path) -> None:
    dataset = ReleaseDataset({"root": str(release)}, ["det_person"])
    assert len(dataset) == 4 + 2 * 3
    ids = [dataset.read_sample(i)["sample_id"] for i in range(10)]
    assert ids == ["one-0", "one-1", "one-2", "one-3", *["two-0", "two-1", "two-2"] * 2]
    assert str(dataset.read_sample(9)["record_where"]).endswith(f"two/index.jsonl:3 (byte {_start_of_line(release, 2)})")
    assert [(s.name, s.start, s.stop, s.signature) for s in dataset.segments] == [
        ("one", 0, 4, "det_person"),
        ("two", 4, 10, "det_person"),
    ]
    with pytest.raises(IndexError, match="10 of a data set of 10"):
        dataset.read_sample(10)
    assert len(ReleaseDataset({"root": str(release)}, ["det_person"], test_mode=True)) == 7


def _start_of_line(release: Path, line: int) -> int:
    return sum(len(text) + 1 for text in (release / "two" / "index.jsonl").read_text().splitlines()[:line])


def test_metainfo_is_plain_and_complete(release: Path) -> None:
    own = {"name": "det_cone", "kind": "detection", "classes": ["cone"]}
    dataset = ReleaseDataset({"root": str(release), "tasks": ["det_person", own]}, ["det_person"])
    metainfo = pickle.loads(pickle.dumps(dataset.metainfo))
    assert list(metainfo["tasks"]) == ["det_person"]
    assert resolve_task(metainfo["tasks"]["det_person"]) == CAMERA_TASKS["det_person"]
    assert metainfo["digest"] == dataset.digest
    assert type(metainfo["tasks"]["det_person"]["kind"]) is str


def test_a_record_may_show_an_image_a_sweep_or_both(tmp_path: Path) -> None:
    points = {"point_labels": "s.label", "taxonomy": "rendered"}
    lidar = {"path": "s.bin", "dtype": "float32", "num_features": 4, "origin": [0, 0, 0]}
    camera = make_record("camera", "x.jpg", HW, {"drivable_2cls": {"mask": "m.png"}})
    sweep = {"sample_id": "sweep", "lidar": lidar, "labels": {"god_base": points, "drivable_2cls": points, "god_hd": points}}
    both = {**camera, "sample_id": "both", "lidar": lidar}
    tasks = ["god_base", "drivable_2cls"]
    root = write_release(tmp_path, [{"name": "one", "records": [camera, sweep, both], "task_tags": tasks}], tasks)
    dataset = ReleaseDataset({"root": str(root)}, tasks)
    shown = [{key: sample[key] for key in ("image", "lidar") if key in sample} for sample in map(dataset.read_sample, range(3))]
    assert shown == [{"image": camera["image"]}, {"lidar": lidar}, {"image": camera["image"], "lidar": lidar}]
    # Read ahead from a store: one file of labels, though two tasks need it, and none for a task that nobody asked for.
    ahead = [[path.name for path in dataset._paths_of(i)] for i in range(3)]
    assert ahead == [["x.jpg", "m.png"], ["s.bin", "s.label"], ["x.jpg", "s.bin", "m.png"]]


def test_wrong_tasks_are_refused(release: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'det_person'"):
        ReleaseDataset({"root": str(release)}, ["det_persons"])
    with pytest.raises(ConfigError, match="needs tasks"):
        ReleaseDataset({"root": str(release)})
    with pytest.raises(ConfigError, match="not among the release's tasks"):
        ReleaseDataset({"root": str(release), "tasks": ["det_person"]}, ["det_rear"])
    with pytest.raises(DataReleaseError, match="E30"):
        ReleaseDataset({"root": str(release)}, ["det_rear"])


def test_entry_without_samples_is_refused(make_release: Callable[..., Path]) -> None:
    with pytest.raises(AdmlopsError, match="no samples|no record|empty"):
        ReleaseDataset({"root": str(make_release([people("a", 2), people("b", 0)], ["det_person"]))}, ["det_person"])


def test_dropped_sample_is_refused(release: Path) -> None:
    dataset = ReleaseDataset({"root": str(release)}, ["det_person"], [lambda results: None])
    with pytest.raises(ConfigError, match=r"(?s)dropped a sample.*one/index\.jsonl:2"):
        dataset[1]


def test_random_numbers_are_a_function_of_seed_epoch_position() -> None:
    triples = [(s, e, p) for s in (0, 1, 2**32, 2**33 + 1) for e in (0, 1) for p in (0, 1, 2**32)]
    draws = {triple: make_rng(*triple).integers(2**63) for triple in triples}
    assert len(set(draws.values())) == len(triples)
    assert draws[1, 0, 1] == make_rng(1, 0, 1).integers(2**63)


def test_transforms_repeat_themselves(release: Path) -> None:
    dataset = ReleaseDataset({"root": str(release)}, ["det_person"], _pipeline(), seed=3)
    pixels = [dataset[SampleKey(2, epoch, 6)]["inputs"].numpy().tobytes() for epoch in (0, 1, 0)]
    assert pixels[0] == pixels[2] != pixels[1]
    assert dataset[SampleKey(2, 0, 6, seed=4)]["inputs"].numpy().tobytes() != pixels[0]
    assert dataset[SampleKey(2, 0, 6, seed=3)]["inputs"].numpy().tobytes() == pixels[0]
    # Transforms of other packages draw from the global generators.
    foreign = ReleaseDataset({"root": str(release)}, ["det_person"], [lambda results: (np.random.rand(), random.random())])
    assert foreign[SampleKey(0, 1, 2)] == foreign[SampleKey(0, 1, 2)] != foreign[SampleKey(0, 1, 3)]


def test_pickle_is_small(release: Path) -> None:
    dataset = ReleaseDataset({"root": str(release)}, ["det_person"], _pipeline())
    dataset[0]
    content = pickle.dumps(dataset)
    assert len(content) < 4000
    assert torch.equal(pickle.loads(content)[3]["inputs"], dataset[3]["inputs"])


def test_workers_see_the_same_bytes_however_started(release: Path) -> None:
    reference = _first(_loader(release), 5)
    assert len({sample_id for sample_id, _, _ in reference[:10]}) == 7
    for method in ("fork", "spawn"):
        loader = _loader(release, num_workers=2, multiprocessing_context=method, worker_init_fn={"type": init_worker})
        assert _first(loader, 5) == reference


def test_worker_init_is_found_by_the_name_in_a_dumped_config(release: Path) -> None:
    named = {"type": "admlops.datasets.worker_init.init_worker"}
    assert _loader(release, worker_init_fn=named).worker_init_fn.func is init_worker


def test_small_tensors_need_no_open_files(release: Path) -> None:
    loader = _loader(release, num_workers=1, batch_size=8, worker_init_fn={"type": init_worker})
    batches = iter(loader)
    held = [next(batches)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    held += [next(batches) for _ in range(4)]
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 8  # 32 samples of 8 tensors
    held[0]["data_samples"][0].gt.det_person.instances.bboxes += 1  # writable


def test_worker_errors_name_record_and_path(release: Path) -> None:
    (release / "one" / "2.jpg").unlink()
    message = ""
    try:
        _first(_loader(release, num_workers=2, worker_init_fn={"type": init_worker}), 5)
    except RecordError as error:
        message = str(error)
        # torch ties the error into a cycle with the loader, and a loader that the collector finds waits 5 s for each worker.
        error.__traceback__ = None
    assert re.search(r"(?s)image cannot be read.*index\.jsonl:3.*one/2\.jpg", message)


def test_resume_after_kill(release: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parent / "print_stream.py"), str(release)]

    def run(state: str, num_lines: int) -> list[str]:
        # Not through a pipe: the orphaned workers would hold it open for seconds.
        output = tmp_path / "output.txt"
        with output.open("w") as stdout, subprocess.Popen([*command, str(tmp_path / state)], stdout=stdout) as process:
            deadline = time.monotonic() + 120
            while output.read_text().count("\n") < num_lines:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.kill()  # SIGKILL: nothing is cleaned up
        return output.read_text().splitlines()

    whole = run("uninterrupted.json", 60)
    stream = run("state.json", 14)
    assert len(stream) < 60
    while len(stream) < 40:
        # The state may be one batch ahead of what was printed, never behind.
        consumed = json.loads((tmp_path / "state.json").read_text())["samples_consumed"]
        assert consumed - len(stream) in {0, 2}
        stream = (stream + whole[len(stream) : consumed]) + run("state.json", 14)
    shared = min(len(stream), len(whole))
    assert len(set(whole)) > 40  # ids repeat in every epoch of 10, pixels do not
    assert stream[:shared] == whole[:shared]
