#!/usr/bin/env python
"""What integers cost in training, save in a runtime, and whether they are equal everywhere: ratios and counts of one run.

    python benchmarks/quantization.py [--checkpoint fusion-bn-c2-last.pth --config CONFIG] [--only speed exactness ...]
    ADMLOPS_REAL_DATA=FOLDER python benchmarks/quantization.py --only exactness     # real frames beside the sample's
    python benchmarks/quantization.py accuracy [--seeds 0 1]                        # trains for hours

Six branches at 512x960 on one thread. Without a checkpoint the weights are random and calibrated, BN with them.

1. speed: float32 against integers in OpenVINO (bound: 2.0 times as fast with raw outputs) and in ONNX Runtime, with raw outputs
   and with post-processing in the graph. Minima of CPU seconds, in turns: what else the machine does counts little.
2. size: bytes of parameters and buffers, integers against float. Bound: 0.27.
3. export: CPU seconds from a trained network to a file whose outputs were compared, post-processing inside. Bound: 60.
4. exactness: how many values of the quantized tensors and of the raw outputs differ from those that training simulated: in the
   integer reference, in ONNX Runtime with its optimizations off and all, in OpenVINO; with every tensor as an output
   ("tapped"), and as they are deployed. Bound: 0.
5. training: a step of steps 1 and 2 against one of step 0, with data, loss, backward and optimizer. Bound: 1.6.

``accuracy`` is described in ``quantization_accuracy.py``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import quantization_accuracy
import torch
from figure_line import Figure
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from numpy.typing import NDArray
from torch import nn
from training import labelled_batch, measure, stepper

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.deploy import Geometry
from admlops.deploy.backends import open_backend
from admlops.deploy.export import export
from admlops.deploy.parity import compare
from admlops.engine.config import load_config
from admlops.engine.deploy import camera_check, check_export
from admlops.engine.rungs import ExportableNetwork
from admlops.engine.steps import build_network, shape_network, state_of_step
from admlops.models.detectors import MultiTaskDetector
from admlops.quantization import IntegerNetwork, QuantSpec, absorb_bn, calibrating, float_graph, integer_graph, prepare
from admlops.registry import MODELS

CONFIG = "configs/4pe_resize/multitask.py"
RUNTIMES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}
Pixels = NDArray[np.uint8]
"""(H, W, 3), BGR."""


@dataclass(frozen=True)
class Networks:
    """One architecture in its forms.

    Attributes:
        floats: In floats; only what it computes counts, not what it learned.
        integers: Its integers.
        simulated: What the integers were made of, without BN.
        geometry: Size of the input.
    """

    floats: ExportableNetwork
    integers: ExportableNetwork
    simulated: MultiTaskDetector
    geometry: Geometry


def randomise(network: nn.Module) -> None:
    """Give a network weights and BN as after some training: no channel is like the next."""
    rng = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=rng)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.3, 1.2, generator=rng)
            module.bias.data.normal_(0, 0.3, generator=rng)
            module.running_mean.normal_(0, 0.2, generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)


def to_network(image_HW3: Pixels) -> torch.Tensor:
    """Turn pixels into the network's input."""
    return (torch.from_numpy(image_HW3).permute(2, 0, 1)[None].float() - 128) / 128


def read_frames(folder: Path, number: int, hw: tuple[int, int]) -> list[Pixels]:
    """Read pictures from all over a folder, some of each folder below it, in the size of the input."""
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted([*folder.rglob("*.jpg"), *folder.rglob("*.png")]):
        by_folder.setdefault(path.parent, []).append(path)
    in_turns = [paths[turn] for turn in range(number) for paths in by_folder.values() if turn < len(paths)]
    frames: list[Pixels] = []
    for path in in_turns:
        image_HW3 = cv2.imread(str(path))
        # Label images are of few colours; of photos that are much smaller, nothing would be left to see.
        if image_HW3 is not None and image_HW3.shape[1] * 2 >= hw[1] and len(np.unique(image_HW3[::8, ::8])) > 64:
            frames.append(np.asarray(cv2.resize(image_HW3, hw[::-1], interpolation=cv2.INTER_AREA), np.uint8))
        if len(frames) == number:
            break
    return frames


def make_networks(args: argparse.Namespace, frames: list[Pixels]) -> Networks:
    """Build the network in its forms, from the checkpoint or at random."""
    cfg = load_config(args.config)
    geometry = Geometry((args.input_hw[0], args.input_hw[1]), (args.input_hw[0], args.input_hw[1]), 0)
    detector = MODELS.build(cfg.model).eval()
    randomise(detector)
    for branch in detector.branches.values():
        branch.seen.fill_(True)
    if args.checkpoint is not None:
        simulated = build_network(cfg, args.checkpoint)
    else:
        simulated = MODELS.build(cfg.model).eval()
        simulated.load_state_dict(detector.state_dict())
        prepare(simulated, QuantSpec(**cfg.quantization))
        with torch.no_grad(), calibrating(simulated):
            for frame in frames[:2]:
                simulated(to_network(frame))
        absorb_bn(simulated, [name for name, module in simulated.named_modules() if isinstance(module, nn.BatchNorm2d)])
    floats = ExportableNetwork(float_graph(detector), detector, {})
    return Networks(floats, ExportableNetwork(integer_graph(simulated), simulated, {}), simulated, geometry)


def speed(networks: Networks, frames: list[Pixels], rounds: int) -> Iterator[Figure]:
    """Compare integers with floats in each runtime."""
    with tempfile.TemporaryDirectory() as folder:
        for target, runtime in RUNTIMES.items():
            for decoded, what in ((False, "raw outputs"), (True, "post-processing in the graph")):
                actions = {}
                for name, network in (("int8", networks.integers), ("float32", networks.floats)):
                    contract = network.contract(networks.geometry, decoded=decoded)
                    path = export(network.graph, contract, Path(folder, f"{name}.onnx"), target)
                    actions[name] = partial(open_backend(path, threads=1), frames[0])
                best = measure(actions, rounds, time.process_time)
                details = f"{best['float32'] * 1e3:.1f} ms / {best['int8'] * 1e3:.1f} ms"
                bound = 2.0 if target == "openvino" and not decoded else None
                ratio = best["float32"] / best["int8"]
                yield Figure(f"{runtime}, {what}: float32 / int8", details, ratio, bound, at_least=True)


def size(networks: Networks) -> Iterator[Figure]:
    """Compare the bytes of parameters and buffers."""
    integers, floats = (
        sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
        for network in (IntegerNetwork(networks.integers.graph), networks.floats.detector)
    )
    yield Figure("parameters and buffers: int8 / float32", f"{integers:,} / {floats:,} bytes", integers / floats, 0.27)


def export_time(networks: Networks) -> Iterator[Figure]:
    """Take the time from a trained network to a file that has proved to compute the same."""
    for target, runtime in RUNTIMES.items():
        with tempfile.TemporaryDirectory() as folder:
            start_s = time.process_time()
            network = replace(networks.integers, graph=integer_graph(networks.simulated))
            contract = network.contract(networks.geometry)
            path = export(network.graph, contract, Path(folder, "network.onnx"), target)
            written_s = time.process_time() - start_s
            check_export(network, contract, path, target, [camera_check(network, contract)])
            seconds = time.process_time() - start_s
        yield Figure(f"export for {runtime}, CPU s", f"written after {written_s:.1f} s, compared after", seconds, 60)


def exactness(networks: Networks, frames: list[Pixels], source: str) -> Iterator[Figure]:
    """Count what differs from the simulation."""
    for each in compare(networks.integers.graph, frames, simulation=networks.simulated).comparisons:
        worst = f" ({', '.join(list(each.worst)[:3])})" if each.worst else ""
        # What is not tapped may be fused away: only its raw outputs are seen.
        integers = f"{each.integers:,} integers, " if each.integers else ""
        details = f"of {integers}{each.raw:,} raw outputs{worst}"
        what = f"differing, {len(frames)} {source} frames: {each.name}"
        yield Figure(what, details, each.differing_integers + each.differing_raw, 0)


def training(args: argparse.Namespace) -> Iterator[Figure]:
    """Compare training steps."""
    samples = labelled_batch(load_config(args.config), tuple(args.input_hw), args.batch_size)
    batch = pseudo_collate(samples)
    actions = {}
    for step in range(3):
        cfg = load_config(args.config, step=step)
        model = MODELS.build(cfg.model)
        shape_network(model, state_of_step(cfg, model))
        if step:
            with torch.no_grad(), calibrating(model.eval()):
                model(model.data_preprocessor(batch, True)["inputs"])
        actions[f"step {step}"] = stepper(model.train(), batch)
    best = measure(actions, args.rounds, time.process_time)
    for name in ("step 1", "step 2"):
        details = f"{best[name]:.2f} s / {best['step 0']:.2f} s, {args.batch_size} pictures"
        yield Figure(f"training, {name} / step 0", details, best[name] / best["step 0"], 1.6)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = ("speed", "size", "export", "exactness", "training")
    parser.add_argument("--only", nargs="+", choices=what, default=what, help="some of the five")
    parser.add_argument("--config", type=Path, default=Path(CONFIG))
    parser.add_argument("--checkpoint", type=Path, help="of the last step that trains; default: random weights")
    parser.add_argument("--frames", type=int, default=16, help="of the sample, and as many real ones (default: %(default)s)")
    parser.add_argument("--input-hw", type=int, nargs=2, default=(512, 960), metavar=("H", "W"))
    parser.add_argument("--batch-size", type=int, default=4, help="of the training steps (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=8, help="measurements of each (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="at a size at which the figures mean nothing")
    quantization_accuracy.add_parser(parser.add_subparsers(dest="command", title="trainings"))
    args = parser.parse_args()
    if args.quick:
        args.frames, args.input_hw, args.batch_size, args.rounds = 1, (128, 192), 1, 1
    return args


def main() -> int:
    """Parse, measure, print; with ``accuracy`` exit with 1 beyond a bound."""
    args = parse_args()
    MMLogger.get_current_instance().setLevel("ERROR")
    if args.command is not None:
        return quantization_accuracy.run(args)
    torch.set_num_threads(1)
    cfg = load_config(args.config)
    frames = {"sample": read_frames(Path(cfg.val_dataloader.dataset.data_release.root), args.frames, args.input_hw)}
    if not args.quick and (real := os.environ.get("ADMLOPS_REAL_DATA")):
        frames["real"] = read_frames(Path(real), args.frames, args.input_hw)
    networks = make_networks(args, frames["sample"])
    weights = args.checkpoint or "random weights"
    print(f"{args.input_hw[0]}x{args.input_hw[1]}, one thread, torch {torch.__version__}, {weights}", flush=True)
    measurements = {
        "speed": lambda: speed(networks, frames["sample"], args.rounds),
        "size": lambda: size(networks),
        "export": lambda: export_time(networks),
        "exactness": lambda: (figure for source, each in frames.items() for figure in exactness(networks, each, source)),
        "training": lambda: training(args),
    }
    for name in args.only:
        for figure in measurements[name]():
            print(figure, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
