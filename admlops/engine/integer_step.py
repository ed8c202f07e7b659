"""The last step: a network that simulates integers becomes one that has nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from admlops.data_release.lineage import lineage_path
from admlops.engine.checkpoint import check_fit, read_checkpoint, save_checkpoint
from admlops.engine.lineage import derived_lineage, write_lineage
from admlops.engine.release_runner import ReleaseRunner
from admlops.engine.steps import Conversion, NetworkState, Step, build_network, float_state, require_previous
from admlops.errors import ConfigError, QuantizationError
from admlops.quantization import IntegerNetwork, integer_graph


def convert_to_integers(cfg: Config, step: Step, path: str | Path) -> Path:
    """Turn the network of the last quantized step into integers, and write them once they have proved equal.

    Args:
        cfg: Config, loaded for the step.
        step: The conversion.
        path: Checkpoint of the step before.

    Returns:
        ``int-inference-last.pth``: a ``state_dict`` without floats (exponents where scales are powers of two), in ``meta``
        the ``structure`` and ``allowed_classes`` by branch, and in ``float_state_dict`` what the network's ``float_parts``
        hold, by its name in the network.

    Raises:
        CheckpointError: The checkpoint is missing, of another step or of another network.
        QuantizationError: A sum could overflow, or integers and simulation differ.
    """
    checkpoint = read_checkpoint(path)
    state = require_previous(checkpoint, step.name, str(step.previous), path)
    network: Any = build_network(cfg, path)
    check_fit(network, checkpoint["state_dict"], path, strict=True)
    integers = IntegerNetwork(integer_graph(network)).eval()
    check = step.conversion or Conversion()
    for number, image_BCHW in enumerate(islice(_images(cfg, network), check.check_images), 1):
        _require_equal(network, integers, image_BCHW)
        print_log(f"{step.name}: picture {number} of {check.check_images}: integers equal the simulation", logger="current")
    meta = {
        "epoch": 0,
        "iter": (checkpoint.get("meta") or {}).get("iter"),
        "cfg": cfg.pretty_text,
        "dataset_meta": (checkpoint.get("meta") or {}).get("dataset_meta"),
        "step": NetworkState(step.name, state.quantization, state.absorbed_bn).to_meta(),
        "structure": integers.structure,
        # Decoding needs them, and integers hold none.
        "allowed_classes": {name: branch.allowed_classes.tolist() for name, branch in network.branches.items()},
    }
    target = step.last(cfg.work_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    lineage = derived_lineage("converted", {path: checkpoint}, target)
    # A wrong description is worse than none.
    lineage_path(target).unlink(missing_ok=True)
    content = {"meta": meta, "state_dict": integers.state_dict(), "lineage": lineage}
    if network.float_parts:
        content["float_state_dict"] = float_state(network)
    save_checkpoint(content, target)
    write_lineage(target, lineage)
    print_log(
        f"{step.name}: {_bytes(integers):,} bytes of integers from {_bytes(network):,}, written to {target}", logger="current"
    )
    return target


def _images(cfg: Config, network: Any) -> Iterator[Tensor]:
    """Pictures as validation sees them, or the maps that are made of its samples."""
    loader_cfg = cfg.get("val_dataloader") or cfg.get("test_dataloader") or cfg.get("train_dataloader")
    if loader_cfg is None:
        raise ConfigError("there is no picture to check the integers on", where="val_dataloader", got="nothing")
    own = {"batch_size": 1, "num_workers": 0, "persistent_workers": False}
    with DefaultScope.overwrite_default_scope("admlops"):
        loader = ReleaseRunner.build_dataloader(
            {k: v for k, v in {**loader_cfg, **own}.items() if k != "prefetch_factor"}, seed=0
        )
        for batch in loader:
            with torch.no_grad():
                image_BCHW: Tensor = network.quantized_input(network.data_preprocessor(batch, training=False)["inputs"])
            yield image_BCHW


@torch.no_grad()
def _require_equal(network: nn.Module, integers: IntegerNetwork, image_BCHW: Tensor) -> None:
    simulated: Mapping[str, Tensor] = network(image_BCHW, mode="tensor")
    computed = integers(image_BCHW)
    wrong = {name: int((value != computed[name]).sum()) for name, value in simulated.items()}
    if any(wrong.values()):
        raise QuantizationError(
            "the integers do not compute what training simulated",
            where=f"a picture of {image_BCHW.shape[-2]} x {image_BCHW.shape[-1]}",
            expected="equality, bit for bit",
            got=", ".join(f"{count} values of {name} differ" for name, count in wrong.items() if count),
            remedy="nothing was written; this is a fault of the program, please report it with the checkpoint",
        )


def _bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
