"""One rank of the test of several processes; also what one process makes of the same global batch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from multi_task_batch import detector_config, make_label, make_sample, random_labels, silence_init_weights
from torch import nn

import admlops.models  # noqa: F401
from admlops.registry import MODELS

TASKS = ("det_person", "det_vehicle_sign", "seg_default", "seg_lane")
NUM_GLOBAL = 4


def build(**overrides):
    torch.manual_seed(0)
    silence_init_weights()
    model = MODELS.build(detector_config(TASKS, **overrides))
    model.init_weights()
    # Residual branches that start at 0 would hide most of the trunk's gradients.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
    return model


def global_batch(step):
    """Person is labelled on the first half of the batch only, lanes nowhere, some classes of the other tasks not."""
    inputs = torch.rand(NUM_GLOBAL, 3, 64, 96, generator=torch.Generator().manual_seed(step)) * 2 - 1
    samples = []
    for index in range(NUM_GLOBAL):
        labels = random_labels(10 * step + index, ("det_vehicle_sign", "seg_default"))
        if index < NUM_GLOBAL // 2:
            labels |= random_labels(10 * step + index, ("det_person",))
        if index == 0:
            del labels["seg_default"]
        if index == 3:
            labels["det_vehicle_sign"] = make_label(
                "det_vehicle_sign", [[10, 10, 30, 30]], [1], labelled_categories=["traffic_sign"]
            )
        samples.append(make_sample(labels))
    return inputs, samples


def freeze_bn(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def wrap(model, world_size):
    if world_size == 1:
        return model
    return MMDistributedDataParallel(model, device_ids=None, broadcast_buffers=False, find_unused_parameters=True)


def stock_gradients(part, world_size):
    """Train a head of mmdet whose loss holds a collective, with labels on one rank only."""
    if importlib.util.find_spec("mmcv._ext") is None:
        return None
    head = {
        "type": "mmdet.YOLOXHead",
        "num_classes": 1,
        "in_channels": 32,
        "feat_channels": 8,
        "stacked_convs": 1,
        "strides": (8, 16, 32),
        "train_cfg": {"assigner": {"type": "SimOTAAssigner", "center_radius": 2.5}},
    }
    model = build(branches={"det_person": {"head": head, "in_levels": (1, 2, 3)}}).train()
    freeze_bn(model)
    inputs, samples = global_batch(0)
    backward(wrap(model, world_size), inputs[part], samples[part])
    return gradients(model)


def balanced_gradients(part, world_size):
    """Two steps of gradient norms: the second is scaled by what the first measured."""
    model = build(loss_balance={"type": "GradientNormBalance"}).train()
    wrapped = wrap(model, world_size)
    freeze_bn(model)
    inputs, samples = global_batch(0)
    for _ in range(2):
        model.zero_grad()
        backward(wrapped, inputs[part], samples[part])
    return gradients(model), {name: state.norm.clone() for name, state in model.loss_balance.items()}


def backward(model, inputs, samples):
    losses = model(inputs, samples, mode="loss")
    sum(value for name, value in losses.items() if "loss" in name).backward()
    return {name: value.detach() for name, value in losses.items()}


def gradients(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def run(rank: int, world_size: int) -> dict[str, object]:
    """Run all scenarios; ``world_size`` 1 is the reference."""
    part = slice(rank * NUM_GLOBAL // world_size, (rank + 1) * NUM_GLOBAL // world_size)
    model = build()
    model.train()
    wrapped = wrap(model, world_size)
    freeze_bn(model)
    result: dict[str, object] = {"stock": stock_gradients(part, world_size)}
    result["balanced"], result["norms"] = balanced_gradients(part, world_size)
    for step in range(2):
        inputs, samples = global_batch(step)
        model.zero_grad()
        result[f"losses_{step}"] = backward(wrapped, inputs[part], samples[part])
        result[f"grads_{step}"] = gradients(model)
    model.zero_grad()
    result["unlabelled"] = backward(wrapped, inputs[part], [make_sample({})] * len(inputs[part]))
    result["unlabelled_grads"] = gradients(model)

    model.train()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    optim = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.02))
    for step in range(3):
        inputs, samples = global_batch(step)
        if world_size > 1:
            wrapped.train_step({"inputs": [((x + 1) * 127).byte() for x in inputs[part]], "data_samples": samples[part]}, optim)
    result |= {"start": start, "end": {name: p.detach().clone() for name, p in model.named_parameters()}}
    result["seen"] = {name: branch.seen.clone() for name, branch in model.branches.items()}
    return result


def main() -> None:
    rank, world_size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size)
    torch.save(run(rank, world_size), folder / f"rank_{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
