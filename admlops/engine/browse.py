"""Draw what the network sees: what ``tools/browse_dataset.py`` calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from admlops.engine.config import load_config
from admlops.engine.pictures import picture_name, picture_reader, require_tasks
from admlops.errors import ConfigError
from admlops.registry import DATA_SAMPLERS, DATASETS, VISUALIZERS
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import TaskSpec


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
        ConfigError: The config has no such split, or is of a network of another package.
    """
    cfg = load_config(config, options)
    loader = cfg.get(f"{split}_dataloader")
    if loader is None:
        raise ConfigError(f"the config has no {split}_dataloader", where=config, expected="train, val or test")
    dataset = DATASETS.build(loader.dataset)
    visualizer = _visualizer(cfg.visualizer, list(dataset.task_specs.values()))
    read_picture = picture_reader(dataset)
    written = []
    for number, key in enumerate(_keys(loader, dataset, (cfg.get("randomness") or {}).get("seed"))):
        if number < start:
            continue
        if number >= start + num_pictures:
            break
        packed = dataset[key]
        sample: MultiTaskDataSample = packed["data_samples"]
        require_tasks(sample)
        background = visualizer.background(sample, packed["inputs"], read_picture)
        path = Path(out_dir) / f"{number:05d}_{picture_name(sample)}"
        visualizer.add_datasample(sample.sample_id, background, sample, out_file=path)
        written.append(path)
    return written


def _visualizer(settings: Mapping[str, Any], tasks: list[TaskSpec]) -> Any:
    # Built by a registry, all visualizers of one name are one object; and the logs of a training have no place here.
    options = {**settings, "tasks": tasks, "vis_backends": None}
    kind = options.pop("type")
    return (VISUALIZERS.get(kind) if isinstance(kind, str) else kind)(**options)


def _keys(loader: Mapping[str, Any], dataset: Any, seed: int | None) -> Iterator[Any]:
    sampler = DATA_SAMPLERS.build(loader["sampler"], default_args={"dataset": dataset, "seed": seed})
    return iter(sampler)
