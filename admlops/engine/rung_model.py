"""Stands in for the network of a test: pictures go to the integer reference or to a runtime, predictions come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from admlops.deploy.backends.backend import Backend, open_backend
from admlops.deploy.contract import Geometry
from admlops.deploy.export import export
from admlops.deploy.predictor import read_outputs
from admlops.engine.rungs import ExportableNetwork
from admlops.quantization import IntegerNetwork
from admlops.structures import MultiTaskDataSample

Predict = Callable[[NDArray[np.uint8], MultiTaskDataSample], None]
"""Gives a sample its ``pred``, from the input (H, W, 3)."""


class RungModel(nn.Module):
    """What a test loop calls a model; holds no parameters.

    Args:
        predict: Predicts on one picture.
    """

    def __init__(self, predict: Predict) -> None:
        super().__init__()
        self.predict = predict

    def test_step(self, data: Mapping[str, Any]) -> list[MultiTaskDataSample]:
        """Predict on a batch, picture by picture.

        Args:
            data: ``inputs``, uint8 pictures (3, H, W), and ``data_samples``.

        Returns:
            The samples, with ``pred`` in pixels of the original.
        """
        samples: list[MultiTaskDataSample] = list(data["data_samples"])
        for picture_CHW, sample in zip(data["inputs"], samples, strict=True):
            self.predict(np.ascontiguousarray(picture_CHW.permute(1, 2, 0).numpy()), sample)
        return samples


def integer_predict(network: ExportableNetwork) -> Predict:
    """Predict with the integer reference; the heads decode.

    Args:
        network: Quantized.

    Returns:
        The function.
    """
    integers = IntegerNetwork(network.graph)

    def predict(image_HW3: NDArray[np.uint8], sample: MultiTaskDataSample) -> None:
        height, width = image_HW3.shape[:2]
        raw = integers(torch.from_numpy(image_HW3).permute(2, 0, 1)[None])
        network.detector.interpret(raw, [sample], (height, width))

    return predict


def backend_predict(open_for: Callable[[tuple[int, int]], Backend]) -> Predict:
    """Predict with a runtime; the graph decodes.

    Args:
        open_for: Gives the backend for a size of input, height and width.

    Returns:
        The function.
    """

    def predict(image_HW3: NDArray[np.uint8], sample: MultiTaskDataSample) -> None:
        height, width = image_HW3.shape[:2]
        backend = open_for((height, width))
        sample.pred = read_outputs(backend.contract, backend(image_HW3), sample.metainfo).to_elements()

    return predict


class SizedBackends:
    """Exports a network for each size of input that comes.

    Args:
        network: The network.
        backend: Name of the runtime.
        folder: Gets the files.
    """

    def __init__(self, network: ExportableNetwork, backend: str, folder: str | Path) -> None:
        self._network = network
        self._backend = backend
        self._folder = Path(folder)
        self._opened: dict[tuple[int, int], Backend] = {}

    def __call__(self, input_hw: tuple[int, int]) -> Backend:
        """Open the network for a size.

        Args:
            input_hw: Height and width of the input.

        Returns:
            The backend.
        """
        if input_hw not in self._opened:
            path = self._folder / f"{input_hw[0]}x{input_hw[1]}.onnx"
            contract = self._network.contract(Geometry(input_hw, input_hw, 0))
            export(self._network.graph, contract, path, self._backend)
            self._opened[input_hw] = open_backend(path, self._backend)
        return self._opened[input_hw]
