"""One table of all rungs, from floats to the runtimes: what ``tools/parity.py`` calls.

What a rung costs is compared with the float column; what differs behind the last training is counted, integer by integer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from admlops.deploy.parity import Input, ParityReport, compare
from admlops.engine.config import load_config
from admlops.engine.export_geometry import export_geometry, use_geometry
from admlops.engine.pipeline_test import NUM_EVAL_BATCHES, pipeline_work_dir
from admlops.engine.release_runner import ReleaseRunner
from admlops.engine.rungs import ExportableNetwork, read_exportable
from admlops.engine.steps import build_network, read_steps
from admlops.engine.test import run_test
from admlops.errors import AdmlopsError, ConfigError, nearest
from admlops.evaluation.multi_task_evaluator import SUMMARY
from admlops.evaluation.task_metric import mean_of_defined
from admlops.structures import inputs_of_sample

TABLE_RUNTIMES = ("onnxruntime", "openvino")
BRANCH_MEAN = "branches/mean"
"""Row of the mean over the branches: AP50 of a detection branch, mIoU of a segmentation branch, IoU of an obstacle grid."""
REPORTS = "parity"
"""Folder of the reports, in the work dir."""


@dataclass(frozen=True)
class Budget:
    """Points that integers may lose against floats.

    Attributes:
        mean_drop: On the mean of the branches.
        branch_drop: On any branch.
    """

    mean_drop: float = 0.3
    branch_drop: float = 1.0


@dataclass(frozen=True)
class Column:
    """One rung.

    Attributes:
        name: Name of a step, or of a runtime.
        model: The checkpoint.
        backend: What computes it; None: what computes it as it is.
        is_float: Whether the others are compared with it.
        is_integer: Whether it computes in integers, so that the budget holds for it.
        metrics: By name; empty where it is absent.
        absent: Why there are none.
        sha256: Of the checkpoint.
    """

    name: str
    model: Path
    backend: str | None
    is_float: bool
    is_integer: bool
    metrics: Mapping[str, float]
    absent: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class ParityTable:
    """All rungs.

    Attributes:
        columns: In the order of the rungs.
        rows: Names of the metrics that are shown.
        exact: What was counted bit by bit; None where nothing could be.
        budget: What may be lost.
        power_of_two: Whether all scales are powers of two: then nothing may differ.
        folder: Where its files go.
    """

    columns: tuple[Column, ...]
    rows: tuple[str, ...]
    exact: ParityReport | None
    budget: Budget
    power_of_two: bool = True
    folder: Path = Path(REPORTS)

    @property
    def reference(self) -> Column | None:
        """The float column, where it was measured."""
        return next((column for column in self.columns if column.is_float and not column.absent), None)

    def drop(self, column: Column, row: str) -> float:
        """Compute what a column loses against floats.

        Args:
            column: The column.
            row: Name of the metric.

        Returns:
            Points, negative where it gains; nan where one of them is undefined.
        """
        base = math.nan if self.reference is None else self.reference.metrics.get(row, math.nan)
        return 100 * (base - column.metrics.get(row, math.nan))

    def exceeds(self, column: Column, row: str) -> bool:
        """Tell whether a column loses more than it may.

        Args:
            column: The column.
            row: Name of the metric.

        Returns:
            Whether it does; False for rows without a budget.
        """
        allowed = self.budget.mean_drop if row == BRANCH_MEAN else self.budget.branch_drop
        return column.is_integer and (row == BRANCH_MEAN or is_branch(row)) and self.drop(column, row) > allowed

    @property
    def faults(self) -> tuple[str, ...]:
        """What is missing, differs, or exceeds the budget; empty where all is well."""
        found = [f"{column.name}: {column.absent}" for column in self.columns if column.absent]
        for column in self.columns:
            for row in (*self._branches(), BRANCH_MEAN):
                if self.exceeds(column, row):
                    allowed = self.budget.mean_drop if row == BRANCH_MEAN else self.budget.branch_drop
                    found.append(f"{column.name}: {row} loses {self.drop(column, row):.2f} points, {allowed:g} are allowed")
        if self.exact is not None and self.power_of_two:
            found += [
                f"{each.name}: {each.differing_integers} integers and {each.differing_raw} raw values differ from "
                f"{self.exact.reference}, first in {next(iter(each.worst))}"
                for each in self.exact.comparisons
                if not each.equal
            ]
        return tuple(found)

    def _branches(self) -> list[str]:
        return [row for row in dict.fromkeys(name for column in self.columns for name in column.metrics) if is_branch(row)]


def is_branch(row: str) -> bool:
    """Tell whether a metric is the one that stands for a branch.

    Args:
        row: Name of the metric.

    Returns:
        Whether it does.
    """
    task, _, metric = row.partition("/")
    return metric in {"AP50", "mIoU", "IoU"} and task != SUMMARY


def run_parity(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    columns: Sequence[str] | None = None,
    input_hw: tuple[int, int] | None = None,
    limit: int | None = None,
    exact: int = 2,
    pipeline_test: bool = False,
    options: Mapping[str, Any] | None = None,
) -> ParityTable:
    """Measure all rungs of a training on the config's test data.

    Args:
        config: Config file.
        work_dir: Where the steps left their checkpoints; each rung's report goes into its folder ``parity``.
        columns: Names of steps and runtimes; by default all steps, ONNX Runtime and OpenVINO.
        input_hw: Measure in the geometry of the export for a camera with images of this height and width, px.
        limit: Measure on so many pictures only.
        exact: Compare integer by integer on so many pictures; 0: do not.
        pipeline_test: Measure what a pipeline test left, on few pictures, whatever it loses; integers must still be equal.
        options: Config values by dotted path.

    Returns:
        The table; what could not be measured says why.

    Raises:
        ConfigError: The config cannot be used, or has no such column.
    """
    cfg = load_config(config, options, work_dir)
    budget = Budget(**(cfg.get("parity") or {}))
    if pipeline_test:
        limit, exact = limit or NUM_EVAL_BATCHES, min(exact, 1)
        budget = Budget(mean_drop=100.0, branch_drop=100.0)
        if work_dir is None:
            cfg.work_dir = pipeline_work_dir(cfg)
    found = [_measure(column, cfg, config, input_hw, limit, options) for column in _choose_columns(cfg, columns)]
    report, power_of_two = (None, True) if exact < 1 else _compare(cfg, found, input_hw, exact)
    return ParityTable(tuple(found), _rows(found), report, budget, power_of_two, Path(cfg.work_dir) / REPORTS)


def _choose_columns(cfg: Config, names: Sequence[str] | None) -> list[Column]:
    steps, folder = read_steps(cfg), Path(cfg.work_dir)
    offered = [Column(step.name, step.last(folder), None, step.spec is None, step.conversion is not None, {}) for step in steps]
    if steps[-1].conversion is not None:
        last = steps[-1].last(folder)
        offered += [Column(runtime, last, runtime, is_float=False, is_integer=True, metrics={}) for runtime in TABLE_RUNTIMES]
    known = [column.name for column in offered]
    for name in names or ():
        if name not in known:
            raise ConfigError("there is no such column", where="--columns", got=name, remedy=nearest(name, known))
    return [column for column in offered if names is None or column.name in names]


def _measure(
    column: Column,
    cfg: Config,
    config: str | Path,
    input_hw: tuple[int, int] | None,
    limit: int | None,
    options: Mapping[str, Any] | None,
) -> Column:
    if not column.model.is_file():
        return replace(column, absent=f"no such checkpoint: {column.model}")
    folder = Path(cfg.work_dir) / REPORTS / column.name
    quiet = {**(options or {}), "log_level": "WARNING"}
    if limit is not None:
        quiet["test_dataloader.num_batch_per_epoch"] = limit
    try:
        metrics = run_test(config, column.model, backend=column.backend, input_hw=input_hw, work_dir=folder, options=quiet)
    except AdmlopsError as error:
        return replace(column, absent=f"{type(error).__name__}: {error.what}" + (f": {error.got}" if error.got else ""))
    branches = [value for name, value in metrics.items() if is_branch(name)]
    report = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    sha256 = report["lineage"]["checkpoint_sha256"]
    return replace(column, metrics={**metrics, BRANCH_MEAN: mean_of_defined(branches)}, sha256=sha256)


def _rows(columns: Sequence[Column]) -> tuple[str, ...]:
    names = list(dict.fromkeys(name for column in columns for name in column.metrics))
    classes = [name for name in names if name.count("/") == 2 and name.endswith("/AP50")]
    means = [name for name in names if name == f"{SUMMARY}/AP50"]
    masks = [name for name in names if is_branch(name) and name.endswith("IoU")]
    return (*classes, *means, *masks, *([BRANCH_MEAN] if names else []))


def _compare(
    cfg: Config, columns: Sequence[Column], input_hw: tuple[int, int] | None, exact: int
) -> tuple[ParityReport | None, bool]:
    """Count what differs behind the last training, on the first pictures of the test."""
    steps = {step.name: step for step in read_steps(cfg)}
    present = [column for column in columns if not column.absent]
    integers = next((column for column in present if column.is_integer), None)
    if integers is None:
        return None, True
    last = next(step for step in steps.values() if step.conversion is not None)
    trained = next((column for column in present if column.name == last.previous), None)
    network = read_exportable(cfg, integers.model)
    graph = network.graph
    runtimes = [column.name for column in present if column.name in TABLE_RUNTIMES]
    if trained is None and not runtimes:
        return None, graph.power_of_two
    simulation = None if trained is None else build_network(cfg, trained.model)
    if input_hw is not None:
        use_geometry(cfg, export_geometry(cfg, input_hw))
    pictures = islice(_inputs(cfg, network), exact)
    return compare(graph, pictures, simulation=simulation, runtimes=runtimes), graph.power_of_two


def _inputs(cfg: Config, network: ExportableNetwork) -> Iterator[Input]:
    loader = {key: value for key, value in cfg.test_dataloader.items() if key not in {"prefetch_factor", "num_batch_per_epoch"}}
    loader |= {"batch_size": 1, "num_workers": 0, "persistent_workers": False}
    with DefaultScope.overwrite_default_scope("admlops"):
        for batch in ReleaseRunner.build_dataloader(loader, seed=0):
            (array,) = network.arrays(network.read(inputs_of_sample(batch, 0))).values()
            yield array[0]
