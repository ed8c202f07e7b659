#!/usr/bin/env python
"""Loading training samples beside mmdet's own transforms, on the same 1080x1920 JPEG photos and boxes, one core.

    python benchmarks/pipeline.py [--photos 8] [--rounds 8]

Ours is the pipeline of ``configs/4pe_resize/multitask.py``; mmdet's loads, resizes to the same 540x960, crops to the same
512x960, flips and packs. Both read from their data set, so that parsing a record counts.

1. Load, resize, crop, flip, pack, with boxes. Bound: 1.5 times the images a second.
2. The same with colour augmentation: ``Photometric`` beside ``PhotoMetricDistortion``.
3. The same as 1 with a semantic mask (a PNG as our converters write it) beside the boxes.

Figures are CPU seconds of one process, photo by photo in turns, the minimum over the rounds; medians stand beside them. The
photos are noise of many scales with a sensor's grain, about 400 KB as JPEG, as a camera's are.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from figure_line import Figure
from mmdet.datasets import CocoDataset

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.datasets import ReleaseDataset
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name

CONFIG = "configs/4pe_resize/multitask.py"
TASK, MASK_TASK = "det_vehicle_sign", "seg_default"
RESIZED_SCALE = (1140, 540)  # mmdet: long and short side
CROP_SIZE = (960, 512)  # mmdet: width and height
NUM_BOXES = 12


def make_photo(hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Render noise of many scales, coarse ones stronger, as in photos; the size of its JPEG is that of a photo."""
    h, w = hw
    image = np.full((h, w, 3), 128, dtype=np.float32)
    for columns in (8, 32, 128, 512):
        noise = rng.normal(0, 60 / np.sqrt(columns / 8), (max(2, h * columns // w), columns, 3)).astype(np.float32)
        image += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
    image += rng.normal(0, 4, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def make_boxes(hw: tuple[int, int], rng: np.random.Generator) -> list[list[float]]:
    """Draw boxes of 20 px up to a quarter of the picture."""
    sides = rng.uniform(20, np.array(hw[::-1]) / 4, (NUM_BOXES, 2))
    corners = rng.uniform(0, hw[::-1] - sides)
    return np.hstack([corners, corners + sides]).round(2).tolist()


def write_data(folder: Path, num_photos: int, hw: tuple[int, int]) -> None:
    """Write photos, masks, a release for us and a COCO file for mmdet, with the same boxes."""
    rng = np.random.default_rng(0)
    records, images, annotations = [], [], []
    for i in range(num_photos):
        cv2.imwrite(str(folder / f"{i}.jpg"), make_photo(hw, rng), [cv2.IMWRITE_JPEG_QUALITY, 88])
        coarse = rng.integers(0, 12, (hw[0] // 60, hw[1] // 60), dtype=np.uint8)
        mask = cv2.resize(coarse, hw[::-1], interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"{i}.png"), mask, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        boxes = make_boxes(hw, rng)
        labels = {TASK: {"boxes": boxes, "categories": ["vehicle"] * NUM_BOXES}, MASK_TASK: {"mask": f"{i}.png"}}
        image = {"path": f"{i}.jpg", "height": hw[0], "width": hw[1]}
        records.append(json.dumps({"sample_id": str(i), "image": image, "labels": labels}) + "\n")
        images.append({"id": i, "file_name": f"{i}.jpg", "height": hw[0], "width": hw[1]})
        for x1, y1, x2, y2 in boxes:
            size = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            annotations.append({"id": len(annotations), "image_id": i, "category_id": 1, "iscrowd": 0, **size})
    (folder / "index.jsonl").write_text("".join(records))
    meta = {"release_name": "photos", "consumer_version": "v1.0.0", "version": "v1.0.0", "bundle_versions": ["v1.0.0-release"]}
    index = [{"name": "photos", "obs_path": "index.jsonl", "bundle_versions": ["v1.0.0-release"]}]
    (folder / "training_dataset.json").write_text(json.dumps({"meta": meta, "dataset_index": index}))
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "vehicle"}]}
    (folder / "coco.json").write_text(json.dumps(coco))


def our_dataset(folder: Path, with_photometric: bool, with_mask: bool) -> ReleaseDataset:
    """The config's training pipeline on the photos."""
    steps = load_config(CONFIG).train_dataloader.dataset.pipeline
    return ReleaseDataset(
        data_release={"root": str(folder)},
        tasks=[TASK, MASK_TASK] if with_mask else [TASK],
        pipeline=[step for step in steps if with_photometric or type_name(step) != "Photometric"],
    )


def mmdet_dataset(folder: Path, with_photometric: bool, with_mask: bool) -> CocoDataset:
    """What an mmdet config would write for the same samples."""
    pipeline = [
        {"type": "mmdet.LoadImageFromFile"},
        {"type": "mmdet.LoadAnnotations", "with_bbox": True, "with_seg": with_mask},
        {"type": "mmdet.Resize", "scale": RESIZED_SCALE, "keep_ratio": True},
        {"type": "mmdet.RandomCrop", "crop_size": CROP_SIZE, "allow_negative_crop": True},
        {"type": "mmdet.RandomFlip", "prob": 0.5},
        *([{"type": "mmdet.PhotoMetricDistortion"}] if with_photometric else []),
        {"type": "mmdet.PackDetInputs"},
    ]
    prefix = {"img": f"{folder}/", "seg": f"{folder}/"}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells what it does
        return CocoDataset(
            ann_file=str(folder / "coco.json"), data_prefix=prefix, metainfo={"classes": ("vehicle",)}, pipeline=pipeline
        )


def measure(datasets: dict[str, Any], num_photos: int, rounds: int) -> dict[str, list[list[float]]]:
    """CPU seconds of each data set, by photo and round, in turns."""
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in range(num_photos)] for name in datasets}
    for number in range(rounds + 1):
        for photo in range(num_photos):
            for name, dataset in datasets.items():
                start_s = time.process_time()
                dataset[photo]
                elapsed_s = time.process_time() - start_s
                if number:  # the first round warms up
                    seconds[name][photo].append(elapsed_s)
    return seconds


def compare(what: str, datasets: dict[str, Any], num_photos: int, rounds: int, bound: float | None) -> Figure:
    """Turn the measurement into images a second of ours over mmdet's."""
    sizes = {name: tuple(dataset[0]["inputs"].shape) for name, dataset in datasets.items()}
    if len(set(sizes.values())) > 1:
        raise SystemExit(f"the pipelines give pictures of different sizes: {sizes}")
    seconds = measure(datasets, num_photos, rounds)
    best = {name: statistics.mean(min(times) for times in photos) for name, photos in seconds.items()}
    median = {name: statistics.mean(statistics.median(times) for times in photos) for name, photos in seconds.items()}
    details = " / ".join(f"{1 / best[name]:.0f} ({1 / median[name]:.0f}) images/s" for name in datasets)
    return Figure(what, details, best["mmdet"] / best["ours"], bound, at_least=True)


def main() -> None:
    """Parse, write the photos, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one photo, to see that it runs; the figures mean nothing")
    args = parser.parse_args()
    hw = (1080, 1920)
    num_photos, rounds = (1, 1) if args.quick else (args.photos, args.rounds)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, num_photos, hw)
        size_kb = statistics.mean(path.stat().st_size for path in folder.glob("*.jpg")) / 1e3
        print(f"{num_photos} photos of {hw[0]}x{hw[1]}, {size_kb:.0f} KB on average; best (median) of {rounds} rounds")
        for what, photometric, mask, bound in (
            ("loading: boxes, ours / mmdet", False, False, 1.5),
            ("loading: boxes, colours varied, ours / mmdet", True, False, None),
            ("loading: boxes and a mask, ours / mmdet", False, True, None),
        ):
            datasets = {"ours": our_dataset(folder, photometric, mask), "mmdet": mmdet_dataset(folder, photometric, mask)}
            print(compare(what, datasets, num_photos, rounds, bound), flush=True)


if __name__ == "__main__":
    main()
