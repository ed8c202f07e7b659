"""Finds out before a training, not at its first validation, that this machine lacks an operator of the network."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

import torch
from mmcv.ops import get_compiling_cuda_version
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.errors import MachineError

_NO_KERNEL = re.compile(r"implementation for device|not implemented on|not compiled with CUDA", re.IGNORECASE)


class OperatorHook(Hook):  # type: ignore[misc]
    """Tries one sample, loss and prediction, as a training or a test begins.

    Many models of mmdet3d are made of operators that mmcv implements for CUDA only, and an mmcv that was built without CUDA has
    none of them on a GPU either. Which ones a model runs shows when it runs. The try changes neither weights nor statistics.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Try loss and prediction on a training sample.

        Args:
            runner: The runner.

        Raises:
            MachineError: An operator is missing; names it.
        """
        _try(runner.network, runner.train_dataloader.dataset, ("loss", "predict"))

    def before_test(self, runner: Runner) -> None:
        """Try the prediction of a test sample.

        Args:
            runner: The runner.

        Raises:
            MachineError: An operator is missing; names it.
        """
        _try(runner.network, runner.test_dataloader.dataset, ("predict",))


def _try(network: Any, dataset: Any, modes: tuple[str, ...]) -> None:
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            for mode in modes:
                batch = network.data_preprocessor(pseudo_collate([dataset[0]]), training=mode == "loss")
                network(**batch, mode=mode)
    except (RuntimeError, TypeError, AssertionError) as error:
        inside = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
        operator = next((file.stem for file in inside if file.parts[-3:-1] == ("mmcv", "ops")), None)
        if operator is None or not _NO_KERNEL.search(str(error)):
            raise
        raise MachineError(
            f"the network needs an operator of mmcv that is not there: {operator}",
            where=f"mode {mode!r} of {type(network).__name__}",
            expected=f"a kernel for the device {next(network.parameters()).device.type}",
            got=f"{str(error).splitlines()[0]} (mmcv was built for CUDA: {get_compiling_cuda_version()})",
            remedy="take a model without it, such as that of zoo_pointpillars.py, which a CPU trains (CUDA_VISIBLE_DEVICES=); "
            "or build mmcv with FORCE_CUDA=1 on a machine with a GPU",
        ) from error
    finally:
        network.train(was_training)
