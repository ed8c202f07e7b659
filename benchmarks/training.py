#!/usr/bin/env python
"""What the runner costs, and what many tasks in one network save: ratios, measured in turns in one run.

    python benchmarks/training.py [--batch-size 4] [--crop-hw 512 960] [--rounds 8]

1. A training iteration through the runner (loop, hooks, log, data loader, EMA) against a bare loop with the same network,
   batch, optimizer and EMA. Bound: 1.05.
2. Six branches on one trunk against six networks of one branch on the same trunk: training step (bound 0.33) and forward
   (bound 0.30), all six tasks labelled on every picture.

Minima over the rounds: what other processes on the machine take is not ours.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from torch import nn

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.engine.config import load_config
from admlops.engine.release_runner import ReleaseRunner
from admlops.registry import DATASETS, MODELS

CONFIG = "configs/4pe_resize/multitask.py"


class OnePicture(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A data set whose samples are ready: loading is not what is measured."""

    metainfo: dict[str, Any] = {}

    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Any) -> Any:
        return self.samples[key % len(self.samples)]


class Forever:
    """A sampler that the training loop accepts."""

    def __iter__(self) -> Any:
        return itertools.count()

    def __len__(self) -> int:
        return 1

    def set_samples_consumed(self, count: int) -> None:
        """Accept the position; every picture is the same."""


def measure(
    actions: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Time actions in turns; return the minimum of each in seconds."""
    best = dict.fromkeys(actions, float("inf"))
    for number in range(rounds + 1):
        for name, action in actions.items():
            start_s = clock()
            action()
            elapsed_s = clock() - start_s
            if number:  # the first round warms up
                best[name] = min(best[name], elapsed_s)
    return best


def labelled_batch(cfg: Config, crop_hw: tuple[int, int], batch_size: int) -> list[Any]:
    """Fully labelled samples: the validation split through the training pipeline."""
    dataset_cfg = cfg.train_dataloader.dataset
    dataset_cfg.data_release = cfg.val_dataloader.dataset.data_release
    dataset_cfg.pipeline[2].crop_hw = crop_hw
    dataset = DATASETS.build(dataset_cfg)
    return [dataset[i] for i in range(batch_size)]


def stepper(model: nn.Module, batch: Any, with_ema: bool = False) -> Callable[[], None]:
    """A bare training step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    ema = ExponentialMovingAverage(model, momentum=0.01) if with_ema else None

    def step() -> None:
        data = model.data_preprocessor(batch, True)
        losses = model(**data, mode="loss")
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        if ema is not None:
            ema.update_parameters(model)

    return step


def runner_against_bare_loop(cfg: Config, samples: list[Any], rounds: int) -> float:
    """Compare an iteration of the runner with a bare one; return the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        for key in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader", "test_cfg", "test_evaluator"):
            cfg[key] = None
        runner = ReleaseRunner.from_cfg(cfg)
        # In the place of the config's loader: what is measured starts where the pictures are ready.
        runner._train_dataloader = torch.utils.data.DataLoader(
            OnePicture(samples), batch_size=len(samples), sampler=Forever(), collate_fn=pseudo_collate
        )
        loop = runner._train_loop = runner.build_train_loop(runner._train_loop)
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        runner.call_hook("before_run")
        runner.optim_wrapper.initialize_count_status(runner.model, 0, loop.max_iters)
        for hook in runner.hooks:
            if type(hook).__name__ != "StepCheckpointHook":
                hook.before_train(runner)
        runner.call_hook("before_train_epoch")
        batches = iter(loop.dataloader)
        runner.model.train()
        # One network for both, so that neither gains from where its memory lies.
        bare = stepper(runner.model, pseudo_collate(samples), any(isinstance(hook, EMAHook) for hook in runner.hooks))
        best = measure({"bare": bare, "runner": lambda: loop.run_iter(next(batches))}, rounds)
    ratio = best["runner"] / best["bare"]
    print(f"runner / bare loop              {best['runner']:.3f} s / {best['bare']:.3f} s = {ratio:.3f}   (bound 1.05)")
    return ratio


def six_branches_against_six_networks(model_cfg: Any, samples: list[Any], rounds: int) -> tuple[float, float]:
    """Compare one network of six branches with six of one; return the ratios of training and forward."""
    batch = pseudo_collate(samples)
    joint = MODELS.build(model_cfg)
    single = []
    for name, branch in model_cfg.branches.items():
        alone = model_cfg.copy()
        alone.branches = {name: branch}
        single.append(MODELS.build(alone))
    for model in (joint, *single):
        model.train()
    steps = [stepper(model, batch) for model in single]
    train = measure({"joint": stepper(joint, batch), "single": lambda: [step() for step in steps]}, rounds)
    inputs = joint.data_preprocessor(batch)["inputs"]
    for model in (joint, *single):
        model.eval()
    with torch.no_grad():
        forward = measure({"joint": lambda: joint(inputs), "single": lambda: [model(inputs) for model in single]}, rounds)
    for name, best, bound in (("training step", train, 0.33), ("forward", forward, 0.30)):
        ratio = best["joint"] / best["single"]
        label = f"six branches / six networks, {name}"
        print(f"{label:<44} {best['joint']:.3f} s / {best['single']:.3f} s = {ratio:.3f}   (bound {bound})")
    return train["joint"] / train["single"], forward["joint"] / forward["single"]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--crop-hw", type=int, nargs=2, default=(512, 960))
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    cfg = load_config(CONFIG)
    samples = labelled_batch(cfg, tuple(args.crop_hw), args.batch_size)
    size = "x".join(map(str, args.crop_hw))
    print(f"{args.batch_size} pictures of {size}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    six_branches_against_six_networks(cfg.model, samples, args.rounds)
    runner_against_bare_loop(cfg, samples, args.rounds)


if __name__ == "__main__":
    main()
