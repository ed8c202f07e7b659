"""What the way to integers costs in accuracy: ``python benchmarks/quantization.py accuracy``.

For each seed the config's steps are trained, and in float the same network for as many iterations as all of them together, with
its first step's schedule in proportion. Compared is the float network with the integers that came out (step 3), on the config's
validation release: AP50 over the classes of a detection branch, mIoU of the others. Bounds, averaged over the seeds: 0.3 points
on the mean of the branches, 1.0 on any one.

Finished trainings are kept in ``--work-dir`` and not repeated, one that was broken off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figure_line import Figure
from mmengine.config import Config
from multitask_gap import figure_of, task_of

from admlops.engine.config import load_config
from admlops.engine.steps import read_steps
from admlops.project import project_root

BOUND_MEAN, BOUND_BRANCH = 0.3, 1.0
FLOAT = "float"


@dataclass(frozen=True)
class Training:
    """One of the trainings of a seed: the steps, or the float network beside them."""

    config: Path
    seed: int
    steps: bool
    folder: Path

    @property
    def work_dir(self) -> Path:
        """Of its checkpoints and metrics."""
        return self.folder / f"seed{self.seed}_{'steps' if self.steps else FLOAT}"


def float_options(cfg: Config) -> list[str]:
    """Let the float step take as many iterations as all steps together, its schedule in proportion."""
    solver = cfg.solver
    total = sum(step.train_cfg.max_iters for step in solver if step.get("train_cfg"))
    warmup_part, rest = solver[0].param_scheduler
    warmup = round(warmup_part.end * total / rest.end)
    values = {
        "train_cfg.max_iters": total,
        "train_cfg.val_interval": total,
        "param_scheduler.0.end": warmup,
        "param_scheduler.1.begin": warmup,
        "param_scheduler.1.end": total,
        "param_scheduler.1.T_max": total - warmup,
    }
    return [f"solver.0.{key}={value}" for key, value in values.items()]


def train(training: Training) -> dict[str, dict[str, float]]:
    """Train, or read what an earlier call left; return the metrics by step."""
    cfg = load_config(training.config)
    names = [step.name for step in read_steps(cfg)]
    seed = ["--cfg-options", f"randomness.seed={training.seed}"]
    where = ["--work-dir", str(training.work_dir)]
    tested = training.work_dir / names[-1]
    if training.steps:
        script = ["bash", "tools/quanti_training_2step_fusion_bn.sh", "--config", str(training.config)]
        integers = str(training.work_dir / f"{names[-1]}-last.pth")
        commands = {
            training.work_dir / f"{names[-1]}-last.pth": [*script, *where, *seed],
            tested / "metrics.json": ["tools/test.py", str(training.config), integers, "--work-dir", str(tested), *seed],
        }
    else:
        command = ["tools/train.py", str(training.config), "--if-needed", *where, *seed, *float_options(cfg)]
        commands = {_report(training.work_dir, names[0]): command}
    training.work_dir.mkdir(parents=True, exist_ok=True)
    for result, command in commands.items():
        if not result.is_file():
            run_command(command, training.work_dir / "output.txt")
    if not training.steps:
        return {FLOAT: read_metrics(_report(training.work_dir, names[0]))}
    reports = {name: _report(training.work_dir, name) for name in names[:-1]} | {names[-1]: tested / "metrics.json"}
    return {name: read_metrics(path) for name, path in reports.items()}


def _report(work_dir: Path, step: str) -> Path:
    return work_dir / f"{step}-last.metrics.json"


def run_command(command: Sequence[str], log: Path) -> None:
    """Run a tool of the project; what it says goes behind what stands in ``log``."""
    command = command if command[0] == "bash" else [sys.executable, *command]
    with log.open("a") as output:
        environment = os.environ | {"PYTHON": sys.executable}
        subprocess.run(command, check=True, stdout=output, stderr=subprocess.STDOUT, cwd=project_root(), env=environment)


def read_metrics(path: Path) -> dict[str, float]:
    """Read the numbers of a report."""
    metrics: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    return metrics


def compare(tasks: Sequence[str], results: Sequence[dict[str, dict[str, float]]]) -> list[Figure]:
    """Print the table; return the figures that have bounds.

    Args:
        tasks: Of the branches.
        results: Metrics by step, of each seed.

    Returns:
        The drop of the mean, and the largest of a branch, in points.
    """
    columns = list(results[0])
    print(f"| branch | {' | '.join(columns)} | drop, points | of each seed |\n|---|{'---|' * (len(columns) + 2)}")
    drops: dict[str, list[float]] = {}
    for task in tasks:
        drops[task] = [100 * (figure_of(task, each[FLOAT]) - figure_of(task, each[columns[-1]])) for each in results]
        means = " | ".join(f"{statistics.mean(figure_of(task, each[name]) for each in results):.3f}" for name in columns)
        seeds = ", ".join(f"{drop:+.1f}" for drop in drops[task])
        print(f"| `{task}` | {means} | {statistics.mean(drops[task]):+.1f} | {seeds} |")
    of_seeds = [statistics.mean(each) for each in zip(*drops.values(), strict=True)]
    worst = max(tasks, key=lambda task: statistics.mean(drops[task]))
    each_seed = ", ".join(f"{drop:+.2f}" for drop in of_seeds)
    print()
    return [
        Figure("float to integers: drop of the mean, points", f"seeds {each_seed}", statistics.mean(of_seeds), BOUND_MEAN),
        Figure("float to integers: largest drop, points", worst, statistics.mean(drops[worst]), BOUND_BRANCH),
    ]


def add_parser(parsers: Any) -> None:
    """Add the command to those of ``quantization.py``.

    Args:
        parsers: Its sub-parsers.
    """
    parser = parsers.add_parser(
        "accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, help="trains for hours"
    )
    parser.add_argument("--config", type=Path, default=Path("configs/4pe_resize/multitask_demo.py"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, one thread each; default: %(default)s")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/quantization_accuracy"))


def run(args: argparse.Namespace) -> int:
    """Train all, print the table and the figures.

    Args:
        args: Of the parser.

    Returns:
        1 beyond a bound.
    """
    cfg = load_config(args.config)
    tasks = [task_of(cfg, branch) for branch in cfg.model.branches]
    folder = args.work_dir.absolute()
    trainings = [Training(args.config, seed, steps, folder) for seed in args.seeds for steps in (False, True)]
    with ThreadPoolExecutor(args.jobs) as pool:
        metrics = dict(zip(trainings, pool.map(train, trainings), strict=True))
    results = [
        {name: values for training, found in metrics.items() if training.seed == seed for name, values in found.items()}
        for seed in args.seeds
    ]
    figures = compare(tasks, results)
    print(*figures, sep="\n")
    return int(any(figure.verdict == "FAIL" for figure in figures))
