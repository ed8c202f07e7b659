"""Draw what the network sees: what ``tools/browse_dataset.py`` calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from admlops.datasets.transforms.read_file import decode_image, resolve_path
from admlops.engine.config import load_config
from admlops.errors import ConfigError
from admlops.registry import DATA_SAMPLERS, DATASETS
from admlops.structures import MultiTaskDataSample
from admlops.visualization import draw_labels


def browse(
    config: str | Path,
    out_dir: str | Path,
    *,
    split: str = "train",
    num_pictures: int = 20,
    start: int = 0,
    options: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Draw samples of a config as the network sees them: after every transform, labels drawn, what is unknown listed.

    Args:
        config: Config file.
        out_dir: Folder for the pictures.
        split: ``train`` (in the order of the sampler), ``val`` or ``test``.
        num_pictures: How many.
        start: Samples to pass over.
        options: Config values by dotted path.

    Returns:
        The pictures.

    Raises:
        ConfigError: The config has no such split.
    """
    cfg = load_config(config, options)
    loader = cfg.get(f"{split}_dataloader")
    if loader is None:
        raise ConfigError(f"the config has no {split}_dataloader", where=config, expected="train, val or test")
    dataset = DATASETS.build(loader.dataset)
    written = []
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for number, key in enumerate(_keys(loader, dataset, (cfg.get("randomness") or {}).get("seed"))):
        if number < start:
            continue
        if number >= start + num_pictures:
            break
        packed = dataset[key]
        sample: MultiTaskDataSample = packed["data_samples"]
        image_bgr = np.ascontiguousarray(packed["inputs"].numpy().transpose(1, 2, 0))
        if "gt_original" in sample:  # labels of a validation are in original pixels
            path = resolve_path(Path(), sample.img_path, dataset.profiles)
            image_bgr = decode_image(path.read_bytes(), path, sample.sample_id)
        drawn = draw_labels(image_bgr, sample, list(dataset.task_specs.values()))
        path = folder / f"{number:05d}_{sample.source}_{sample.sample_id}.png".replace("/", "_")
        cv2.imwrite(str(path), drawn)
        written.append(path)
    return written


def _keys(loader: Mapping[str, Any], dataset: Any, seed: int | None) -> Iterator[Any]:
    sampler = DATA_SAMPLERS.build(loader["sampler"], default_args={"dataset": dataset, "seed": seed})
    return iter(sampler)
