"""Which threshold to give a head: what is found and what is made up, threshold by threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.structures import PixelData

from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.steps import build_network
from admlops.errors import CheckpointError, ConfigError
from admlops.quantization import IntegerNetwork
from admlops.registry import DATASETS
from admlops.structures.multi_task_data_sample import TaskElements
from god.geometry import BevGrid
from god.metrics import BevGridMetric
from god.trained_cells import require_trained_cells


@dataclass(frozen=True)
class ThresholdRow:
    """What a threshold makes of a network; the metrics are those of ``BevGridMetric``.

    Attributes:
        threshold: Probability above which a cell is an obstacle.
        metrics: By name, without the task's.
    """

    threshold: float
    metrics: Mapping[str, float]


@torch.no_grad()
def measure_thresholds(
    config: str | Path, checkpoint: str | Path, thresholds: Sequence[float], options: Mapping[str, Any] | None = None
) -> tuple[str, list[ThresholdRow]]:
    """Run a network once over the test data of a config, and read its scores at several thresholds.

    Args:
        config: Config file with an obstacle grid among its tasks; of several the first is measured.
        checkpoint: Of any step that trains.
        thresholds: Between 0 and 1.
        options: Config values by dotted path.

    Returns:
        Name of the task, and a row a threshold.

    Raises:
        ConfigError: The config measures no obstacle grid, or cannot be used.
        CheckpointError: The checkpoint is missing, does not fit, was trained on other cells, or holds integers.
    """
    cfg = load_config(config, options)
    measured = [dict(metric) for metric in cfg.test_evaluator.metrics if type_name(metric) == BevGridMetric.__name__]
    if not measured:
        raise ConfigError(
            "the config measures no obstacle grid",
            where=f"{config}: test_evaluator.metrics",
            expected=f"a {BevGridMetric.__name__}",
            got=", ".join(type_name(metric) for metric in cfg.test_evaluator.metrics),
        )
    task, grid = measured[0]["task"], measured[0]["grid"]
    require_trained_cells(read_checkpoint(checkpoint), BevGrid.of_config(grid), checkpoint)
    metrics = {threshold: BevGridMetric(task, grid, baseline=False) for threshold in thresholds}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network: Any = build_network(cfg, checkpoint)
    if isinstance(network, IntegerNetwork):
        raise CheckpointError(
            "the checkpoint holds integers, whose decoding has its threshold already",
            where=checkpoint,
            expected="a checkpoint of a step that trains",
            got=type(network).__name__,
            remedy="give with-bn-last.pth, or fusion-bn-c2-last.pth, which predicts what the integers do",
        )
    network.to(device)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    for index in range(len(dataset)):
        packed = dataset[index]
        data = {"inputs": {key: [value] for key, value in packed["inputs"].items()}, "data_samples": [packed["data_samples"]]}
        (sample,) = network(**network.data_preprocessor(data, False), mode="predict")
        score = sample.pred.get(task).score
        for threshold, metric in metrics.items():
            found = PixelData(data=(score > threshold).to(torch.uint8), score=score)
            sample.pred = TaskElements(**{task: found})
            metric.process(None, [sample.to_dict()])
    rows = []
    for threshold, metric in metrics.items():
        values = metric.evaluate(len(dataset))
        rows.append(ThresholdRow(threshold, {name.removeprefix(f"{task}/"): value for name, value in values.items()}))
    return task, rows
