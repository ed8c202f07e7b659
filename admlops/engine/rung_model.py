"""Stands in for the network of a test: samples go to the integer reference or to a runtime, predictions come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from admlops.deploy.backends.backend import Backend, open_backend
from admlops.deploy.export import export
from admlops.deploy.input_geometry import MapGeometry
from admlops.deploy.predictor import read_outputs
from admlops.engine.rungs import ExportableNetwork
from admlops.errors import ExportError
from admlops.quantization import IntegerNetwork
from admlops.structures import MultiTaskDataSample, inputs_of_sample

Predict = Callable[[Any, MultiTaskDataSample], None]
"""Gives a sample its ``pred``, from what the pipeline packed as its inputs."""


class RungModel(nn.Module):
    """What a test loop calls a model; holds no parameters.

    Args:
        predict: Predicts on one sample.
    """

    def __init__(self, predict: Predict) -> None:
        super().__init__()
        self.predict = predict

    def test_step(self, data: Mapping[str, Any]) -> list[MultiTaskDataSample]:
        """Predict on a batch, sample by sample.

        Args:
            data: ``inputs``, uint8 pictures (3, H, W) or lists by name, and ``data_samples``.

        Returns:
            The samples, with ``pred`` in pixels of the original.
        """
        samples: list[MultiTaskDataSample] = list(data["data_samples"])
        for index, sample in enumerate(samples):
            self.predict(inputs_of_sample(data, index), sample)
        return samples


def integer_predict(network: ExportableNetwork) -> Predict:
    """Predict with the integer reference; the heads decode.

    Args:
        network: Quantized.

    Returns:
        The function.
    """
    integers = IntegerNetwork(network.graph)

    def predict(inputs: Any, sample: MultiTaskDataSample) -> None:
        given = network.read(inputs)
        network.detector.interpret(integers(given), [sample], network.detector.input_hw(given))

    return predict


def network_predict(network: ExportableNetwork, backends: SizedBackends) -> Predict:
    """Predict with a runtime; the graph decodes.

    Args:
        network: The network.
        backends: It, exported for each size.

    Returns:
        The function.
    """

    def predict(inputs: Any, sample: MultiTaskDataSample) -> None:
        given = network.read(inputs)
        _predict(backends(given), network.arrays(given), sample)

    return predict


def file_predict(backend: Backend) -> Predict:
    """Predict with an exported file; the graph decodes.

    Args:
        backend: The file, ready to run.

    Returns:
        The function; raises ``ExportError`` where a sample lies on another grid than the file's.
    """
    geometry = backend.contract.geometry
    declared = geometry.inputs
    grid = geometry.frame.get("grid") if isinstance(geometry, MapGeometry) else None

    def predict(inputs: Any, sample: MultiTaskDataSample) -> None:
        # The same arrays mean other places there, and as many cells look alike.
        if grid is not None and sample.get("grid", grid) != grid:
            raise ExportError(
                "the test's samples lie on another grid than the file's",
                where=f"sample {sample.get('sample_id')!r}",
                expected=grid,
                got=sample.grid,
                remedy="give the config that the file was exported with, or export the network on this grid",
            )
        # A picture is packed alone, everything else by the names of the file's inputs.
        packed = inputs if isinstance(inputs, Mapping) else {declared[0].name: inputs.permute(1, 2, 0)[None]}
        _predict(backend, {each.name: packed[each.name].numpy() for each in declared}, sample)

    return predict


def _predict(backend: Backend, given: Mapping[str, NDArray[Any]], sample: MultiTaskDataSample) -> None:
    sample.pred = read_outputs(backend.contract, backend.run(given), sample.metainfo).to_elements()


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
        self._opened: dict[tuple[int, ...], Backend] = {}

    def __call__(self, given: Tensor) -> Backend:
        """Open the network for a size.

        Args:
            given: What the network reads, see ``ExportableNetwork.read``.

        Returns:
            The backend.
        """
        size = tuple(given.shape[2:])
        if size not in self._opened:
            path = self._folder / f"{size[0]}x{size[1]}.onnx"
            export(self._network.graph, self._network.contract(self._network.geometry(given)), path, self._backend)
            self._opened[size] = open_backend(path, self._backend)
        return self._opened[size]
