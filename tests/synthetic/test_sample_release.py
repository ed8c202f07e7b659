"""The rendered release: same bytes always, whole or not at all, each source labels exactly what its entry promises."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from admlops.data_release import JsonlIndex, open_release
from admlops.errors import ConfigError
from admlops.synthetic import sample_release
from admlops.synthetic.colour_baseline import colour_baseline_miou
from admlops.synthetic.rendered_release import split_counts
from admlops.synthetic.sample_release import render_sample_release
from admlops.synthetic.sources import SIZES_HW, TRAIN_SOURCES, VAL_SOURCES
from admlops.task_spec import CAMERA_TASKS, TaskKind

SIZE = {"num_train": 36, "num_val": 8, "scale": 0.25}


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def read_entries(release_dir: Path) -> list[tuple[dict, Path, list[dict]]]:
    release = json.loads((release_dir / "training_dataset.json").read_text())
    found = []
    for entry in release["dataset_index"]:
        index = release_dir / entry["obs_path"]
        found.append((entry, index.parent, [json.loads(line) for line in index.read_text().splitlines()]))
    return found


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("render") / "sample"
    assert render_sample_release(out_dir, num_workers=2, **SIZE).is_new
    return out_dir


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    tiny = {"num_train": 10, "num_val": 2, "scale": 0.1}
    render_sample_release(tmp_path / "one", num_workers=1, **tiny)
    render_sample_release(tmp_path / "two", num_workers=2, **tiny)
    one, two = read_files(tmp_path / "one"), read_files(tmp_path / "two")
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def test_another_seed_gives_other_scenes(tmp_path: Path) -> None:
    tiny = {"num_train": 10, "num_val": 1, "scale": 0.1, "num_workers": 1}
    render_sample_release(tmp_path / "sample", seed=0, **tiny)
    before = read_files(tmp_path / "sample")
    assert render_sample_release(tmp_path / "sample", seed=1, **tiny).is_new
    after = read_files(tmp_path / "sample")
    photos = [name for name in before if name.endswith(".jpg")]
    assert len(photos) == 11
    assert all(before[name] != after[name] for name in photos)


def test_a_finished_release_is_kept(release: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in release.rglob("*")}
    report = render_sample_release(release, num_workers=2, **SIZE)
    assert not report.is_new
    assert sum(report.images.values()) == SIZE["num_train"] + SIZE["num_val"]
    assert {path: path.stat().st_mtime_ns for path in release.rglob("*")} == before


def test_classes_in_another_order_render_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = sample_release.renderer_digest()
    read_bytes = Path.read_bytes
    lines = b'                "pole": (153, 153, 153),\n', b'                "sign": (220, 220, 0),\n'
    monkeypatch.setattr(Path, "read_bytes", lambda path: read_bytes(path).replace(b"".join(lines), b"".join(lines[::-1])))
    assert sample_release.renderer_digest() != digest


def test_records_hold_exactly_what_the_entry_promises(release: Path) -> None:
    for split, sources in (("train", TRAIN_SOURCES), ("val", VAL_SOURCES)):
        entries = read_entries(release / split)
        assert [entry["name"] for entry, _, _ in entries] == [source.name for source in sources]
        for (entry, folder, records), source in zip(entries, sources, strict=True):
            assert entry["duplicate"] == source.duplicate
            assert set(entry["task_tags"]) == set(source.task_tags or source.labels)
            assert len({record["sample_id"] for record in records}) == len(records) == entry["integrity"]["num_samples"]
            for record in records:
                assert record.keys() == {"sample_id", "image", "labels", "attributes"}
                assert record["labels"].keys() == set(source.labels)
                for name, label in record["labels"].items():
                    check_label(source, name, label, record["image"], folder)


def check_label(source, name: str, label: dict, image: dict, folder: Path) -> None:
    task = CAMERA_TASKS[name]
    width, height = image["width"], image["height"]
    assert tuple(label.get("labelled_categories", ())) == source.labelled_categories.get(name, ())
    assert tuple(label.get("non_exhaustive_categories", ())) == source.non_exhaustive.get(name, ())
    if task.kind is TaskKind.DETECTION:
        assert len(label["boxes"]) == len(label["categories"]) == len(label["ignore"])
        assert set(label["categories"]) <= set(source.labelled_categories.get(name, task.classes))
        for x1, y1, x2, y2 in label["boxes"]:
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
        return
    if "polylines" in label:
        assert not source.lanes_as_mask
        points = [point for line in label["polylines"] for point in line["points"]]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
        assert {line["category"] for line in label["polylines"]} <= set(task.classes)
        return
    mask = cv2.imread(str(folder / label["mask"]), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (height, width)
    sets = label.get("category_sets", {})
    assert sets == {key: list(members) for key, members in source.category_sets.get(name, {}).items()}
    coarse = {task.channel_of(member) for members in sets.values() for member in members}
    valid = (set(range(task.num_channels)) - coarse) | {task.num_channels + k for k in range(len(sets))} | {255}
    assert set(np.unique(mask)) <= valid


def test_photos_have_the_size_of_their_records(release: Path) -> None:
    sizes = set()
    for split in ("train", "val"):
        for _, folder, records in read_entries(release / split):
            for record in records:
                picture = cv2.imread(str(folder / record["image"]["path"]))
                assert picture.shape == (record["image"]["height"], record["image"]["width"], 3)
                sizes.add(picture.shape[:2])
    assert sizes == {(height // 4, width // 4) for height, width in SIZES_HW}


def test_every_class_is_labelled_in_both_releases(release: Path) -> None:
    report = render_sample_release(release, **SIZE)
    expected = {f"{name}/{category}" for name, task in CAMERA_TASKS.items() for category in task.classes}
    assert expected <= report.instances["train"].keys()
    assert expected <= report.instances["val"].keys()


def test_the_release_reads_as_any_other(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMLOPS_CACHE", str(tmp_path))
    for split, total in (("train", SIZE["num_train"]), ("val", SIZE["num_val"])):
        selected = open_release(root=release / split).select(list(CAMERA_TASKS))
        indexes = [JsonlIndex(entry.index_path) for entry in selected]
        assert sum(len(index) for index in indexes) == total
        assert all(index[0]["image"]["width"] > 0 for index in indexes)


def test_a_category_set_is_used(release: Path) -> None:
    entries = {entry["name"]: (folder, records) for entry, folder, records in read_entries(release / "train")}
    folder, records = entries["coarse_scenes"]
    values = set()
    for record in records:
        values |= set(np.unique(cv2.imread(str(folder / record["labels"]["seg_default"]["mask"]), cv2.IMREAD_UNCHANGED)))
    assert 12 in values


def test_colour_alone_does_not_solve_it(release: Path) -> None:
    assert 0.02 < colour_baseline_miou(release / "train", release / "val") < 0.35
    # Sanity of the measure itself: on what it was trained on, it does better.
    on_itself = colour_baseline_miou(release / "train", release / "train")
    assert on_itself > colour_baseline_miou(release / "train", release / "val")


def test_an_interrupted_rendering_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render = sample_release._render_record

    def interrupt(job):
        if job.position == 4:
            raise KeyboardInterrupt
        return render(job)

    tiny = {"num_train": 10, "num_val": 1, "scale": 0.06, "num_workers": 1}
    render_sample_release(tmp_path / "sample", **tiny)
    before = read_files(tmp_path / "sample")
    monkeypatch.setattr(sample_release, "_render_record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        render_sample_release(tmp_path / "other", **tiny)
    with pytest.raises(KeyboardInterrupt):
        render_sample_release(tmp_path / "sample", seed=7, **tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]
    assert read_files(tmp_path / "sample") == before


def test_what_a_killed_rendering_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".sample.rendering-999999999"
    (left / "train").mkdir(parents=True)
    render_sample_release(tmp_path / "sample", num_train=10, num_val=1, scale=0.06, num_workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        render_sample_release(tmp_path, num_train=10, num_val=1, scale=0.06)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be rendered"):
        render_sample_release(tmp_path / "sample", num_train=3)


def test_images_are_shared_out_exactly() -> None:
    shares = [source.share for source in TRAIN_SOURCES]
    counts = split_counts(shares, 410)
    assert sum(counts) == 410
    # city_streets: 1 + 0.22 of the 400 that remain.
    assert counts[0] == 89
    assert split_counts(shares, len(shares)) == [1] * len(TRAIN_SOURCES)
