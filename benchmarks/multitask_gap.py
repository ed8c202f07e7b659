#!/usr/bin/env python
"""What a task loses or gains in one network with others: multi-task against single-task at equal labelled samples.

    python benchmarks/multitask_gap.py [--config configs/4pe_resize/multitask_demo.py] [--iterations 1300] [--seeds 0 1]
    python benchmarks/multitask_gap.py --config projects/god/configs/multi_task_hour.py --iterations 1000 --seeds 0 --each

For each seed the config trains once with all branches, and once for each branch alone on the entries that label it, for as many
iterations as give the task the same number of labelled samples (so the single-task networks take fewer, cheaper steps). All
else is equal: network, loader, augmentation, schedule in proportion, EMA. Bound: a mean gap of 3 points, with ``--each`` the
gap of every task.

What is compared: AP50 over the classes of a detection task, mIoU of a semantic or lane task, IoU of an obstacle grid at a
threshold of 0.5, all on the config's validation release. Finished trainings are kept in ``--work-dir`` and not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.project import project_root
from admlops.registry import DATASETS
from admlops.task_spec import resolve_task

BOUND_POINTS = 3.0
FIGURES = ("AP50", "mIoU", "IoU")
"""What stands for a task in ``metrics.json``: the first that it has."""


@dataclass(frozen=True)
class Training:
    """One training of the comparison: all branches, or one of them."""

    branches: tuple[str, ...]
    seed: int
    iterations: int
    folder: Path

    @property
    def name(self) -> str:
        """Of its work dir."""
        return f"{'multitask' if len(self.branches) > 1 else self.branches[0]}_seed{self.seed}"


def task_of(cfg: Config, branch: str) -> str:
    """Name the task of a branch."""
    return resolve_task(cfg.model.branches[branch].get("task") or branch).name


def figure_of(task: str, metrics: dict[str, float]) -> float:
    """Find the figure that stands for a task."""
    return next(metrics[f"{task}/{name}"] for name in FIGURES if f"{task}/{name}" in metrics)


def labelled_share(cfg: Config) -> dict[str, float]:
    """Compute the share of the training's samples that label each branch's task."""
    segments = DATASETS.build(cfg.train_dataloader.dataset).segments
    total = sum(segment.stop - segment.start for segment in segments)
    return {
        branch: sum(
            segment.stop - segment.start for segment in segments if task_of(cfg, branch) in segment.signature.split("+")
        )
        / total
        for branch in cfg.model.branches
    }


def with_type_names(value: Any) -> Any:
    """Replace classes by their names, as mmengine dumps them where a config was not edited after loading."""
    if isinstance(value, dict):
        return {key: with_type_names(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(with_type_names(item) for item in value)
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else value


def narrow(cfg: Config, training: Training) -> Config:
    """Keep some branches of a config, and set seed and length."""
    cfg.pop("solver")
    cfg.randomness.seed = training.seed
    tasks = [task_of(cfg, branch) for branch in training.branches]
    cfg.model.branches = {branch: cfg.model.branches[branch] for branch in training.branches}
    for branch in cfg.model.branches.values():
        # Chosen for the network of all branches: another may be as sure at other places.
        branch.head.pop("threshold", None)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_release.tasks = tasks
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.metrics = [metric for metric in evaluator.metrics if metric.task in tasks]
    cfg.visualizer.tasks = tasks
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if type_name(hook) != "OverlayHook"]
    ratio = training.iterations / cfg.train_cfg.max_iters
    cfg.train_cfg.max_iters = cfg.train_cfg.val_interval = training.iterations
    cfg.default_hooks.checkpoint.interval = training.iterations
    warmup, decay = cfg.param_scheduler
    warmup.end = decay.begin = max(1, round(warmup.end * ratio))
    decay.end = training.iterations
    decay.T_max = training.iterations - decay.begin
    return cfg


def train(config: Path, training: Training) -> dict[str, float]:
    """Train, or read what an earlier call left; return the metrics."""
    work_dir = training.folder / training.name
    done = work_dir / "metrics.json"
    if not ((work_dir / "with-bn-last.pth").is_file() and done.is_file()):
        work_dir.mkdir(parents=True, exist_ok=True)
        # Beside the work dir: the run dumps its own config into it.
        own_config = training.folder / f"{training.name}.py"
        Config(with_type_names(narrow(load_config(config), training).to_dict())).dump(own_config)
        with (work_dir / "output.txt").open("w") as log:
            command = [sys.executable, "tools/train.py", str(own_config), "--work-dir", str(work_dir)]
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT, cwd=project_root())
    metrics: dict[str, float] = json.loads(done.read_text())["metrics"]
    return metrics


def main() -> int:
    """Train all, print the table, exit with 1 above the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/4pe_resize/multitask_demo.py"))
    parser.add_argument("--iterations", type=int, default=1300, help="of the multi-task training; default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--each", action="store_true", help="bound the gap of every task, not their mean")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, one thread each; default: %(default)s")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/multitask_gap"))
    args = parser.parse_args()

    cfg = load_config(args.config)
    shares = labelled_share(cfg)
    branches = tuple(cfg.model.branches)
    folder = args.work_dir.absolute()
    trainings = [Training(branches, seed, args.iterations, folder) for seed in args.seeds]
    trainings += [
        Training((branch,), seed, round(args.iterations * shares[branch]), folder) for seed in args.seeds for branch in branches
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        metrics = dict(zip(trainings, pool.map(lambda training: train(args.config, training), trainings), strict=True))

    results = {(training.branches, training.seed): values for training, values in metrics.items()}
    print(
        f"| task | labelled samples | {' | '.join(f'multi {seed} | single {seed}' for seed in args.seeds)} | mean gap, points |"
    )
    print(f"|---|---|{'---|' * 2 * len(args.seeds)}---|")
    gaps = []
    for branch in branches:
        task = task_of(cfg, branch)
        pairs = [(figure_of(task, results[branches, seed]), figure_of(task, results[(branch,), seed])) for seed in args.seeds]
        gap = 100 * statistics.mean(single - multi for multi, single in pairs)
        gaps.append(gap)
        batch_size = cfg.train_dataloader.batch_size
        columns = " | ".join(f"{multi:.3f} | {single:.3f}" for multi, single in pairs)
        print(f"| `{task}` | {round(args.iterations * shares[branch]) * batch_size} | {columns} | {gap:+.1f} |")
    gap, whose = (max(gaps), "largest") if args.each else (statistics.mean(gaps), "mean")
    print(f"\n{whose} gap {gap:+.1f} points (bound {BOUND_POINTS:+.1f}; below zero: many tasks in one network are better)")
    return int(gap > BOUND_POINTS)


if __name__ == "__main__":
    sys.exit(main())
