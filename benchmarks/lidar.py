#!/usr/bin/env python
"""What the lidar network costs, and what it finds beside a height rule.

    python benchmarks/lidar.py encoder [--quick]
    python benchmarks/lidar.py accuracy [--work-dir work_dirs/god/multi_task_hour]

``encoder``: the pillar encoder against the whole network, encoder included, of ``projects/god/configs/multi_task.py``:
512 x 512 cells, 100,000 points, one thread, inference. Bounds: 0.30 at half the resolution inside (fold 2, the config's), 0.15
at the full one (fold 1). Minima of CPU seconds, in turns: what else the machine does counts little.

``accuracy``: ``multi_task_hour.py`` on the validation sweeps of the rendered sample, trained where its work dir holds no last
checkpoint: an hour of one core. The height rule of ``god/baseline.py`` is measured on the same sweeps. Debris: objects below
0.6 m within 25 m, found where one of their cells is. The bounds are the project's own targets, nobody else's results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from figure_line import Figure
from mmengine.logging import MMLogger
from training import measure

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.engine.config import load_config
from admlops.models.detectors import MultiTaskDetector
from admlops.project import project_root
from admlops.registry import MODELS

CONFIG = "projects/god/configs/multi_task.py"
ENCODER_BOUNDS = {2: 0.30, 1: 0.15}
"""Share of the whole network's time, by fold."""
HOUR_CONFIG = "projects/god/configs/multi_task_hour.py"


def main() -> None:
    """Run one benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    encoder = commands.add_parser("encoder", help="time of the pillar encoder against the whole network")
    encoder.add_argument("--points", type=int, default=100_000)
    encoder.add_argument("--rounds", type=int, default=7)
    encoder.add_argument("--quick", action="store_true", help="few points, once, to see that it runs; the figures mean nothing")
    encoder.set_defaults(run=time_encoder)
    accuracy = commands.add_parser("accuracy", help="what an hour's training finds, beside the height rule")
    accuracy.add_argument("--work-dir", type=Path, default=Path("work_dirs/god/multi_task_hour"))
    accuracy.set_defaults(run=measure_accuracy)
    args = parser.parse_args(sys.argv[1:] or ["encoder"])
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel("WARNING")
    for figure in args.run(args):
        print(figure, flush=True)


@torch.no_grad()
def time_encoder(args: argparse.Namespace) -> Iterator[Figure]:
    """Time the encoder and the network at both resolutions."""
    num_points, rounds = (1000, 1) if args.quick else (args.points, args.rounds)
    for fold, bound in ENCODER_BOUNDS.items():
        model = network(fold)
        sweep = {"points": [random_sweep(num_points)]}
        sweep["cell"] = [torch.from_numpy(model.encoder.grid.cell_of(sweep["points"][0].numpy()))]
        inputs = model.data_preprocessor({"inputs": sweep})["inputs"]
        actions = {"encoder": partial(model.encoder, **inputs), "network": partial(model, inputs)}
        seconds = measure(actions, rounds, time.process_time)
        details = ", ".join(f"{name} {value * 1e3:.0f} ms" for name, value in seconds.items())
        yield Figure(f"lidar: encoder / network, fold {fold}", details, seconds["encoder"] / seconds["network"], bound)


def measure_accuracy(args: argparse.Namespace) -> Iterator[Figure]:
    """Train where nobody did, test, and hold the figures against their bounds."""
    work_dir, last = args.work_dir.absolute(), args.work_dir.absolute() / "with-bn-last.pth"
    commands = [["tools/test.py", HOUR_CONFIG, str(last), "--work-dir", str(work_dir)]]
    if not last.is_file():
        commands.insert(0, ["tools/train.py", HOUR_CONFIG, "--work-dir", str(work_dir), "--if-needed"])
    for command in commands:
        subprocess.run([sys.executable, *command], check=True, cwd=project_root(), stdout=sys.stderr)
    metrics = json.loads((work_dir / "metrics.json").read_text())["metrics"]
    network, rule = metrics["god_base/IoU"], metrics["god_base/height_rule/IoU"]
    found, false = metrics["god_base/small_25m/object_recall_any"], metrics["god_base/num_false_objects"]
    rule_found = metrics["god_base/height_rule/small_25m/object_recall_any"]
    rule_false = metrics["god_base/height_rule/num_false_objects"]
    yield Figure("lidar: obstacle IoU", "", network, 0.82, at_least=True)
    yield Figure(
        "lidar: obstacle IoU above the height rule's", f"{network:.3f} - {rule:.3f}", network - rule, 0.04, at_least=True
    )
    yield Figure("lidar: debris found within 25 m", f"height rule {rule_found:.3f}", found, 0.75, at_least=True)
    yield Figure("lidar: false objects a sweep", f"height rule {rule_false:.1f}", false, 2.5)
    yield Figure("lidar: drivable mIoU, two classes", "", metrics["drivable_2cls/mIoU"], 0.85, at_least=True)


def network(fold: int) -> MultiTaskDetector:
    """Build the config's network at another resolution inside."""
    cfg = load_config(CONFIG)
    channels = cfg.model.encoder.channels
    cfg.model.encoder.fold = fold
    cfg.model.backbone.in_channels = channels * fold * fold
    for branch in cfg.model.branches.values():
        branch.head.fold = fold
    model: MultiTaskDetector = MODELS.build(cfg.model)
    return model.eval()


def random_sweep(num_points: int) -> torch.Tensor:
    """Draw points, denser near the sensor; 100,000 hit a fifth of the cells, twice as many as those of a real sweep."""
    rng = np.random.default_rng(0)
    radius_m, angle = 50 * rng.random(num_points) ** 2, rng.uniform(0, 2 * np.pi, num_points)
    z_m, intensity = rng.uniform(-2, 1, num_points), rng.random(num_points)
    points = np.stack([radius_m * np.cos(angle), radius_m * np.sin(angle), z_m, intensity], axis=1)
    return torch.from_numpy(points.astype(np.float32))


if __name__ == "__main__":
    main()
