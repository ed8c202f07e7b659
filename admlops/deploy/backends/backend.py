"""What all runtimes have in common: an image, or other arrays by name, go in, named arrays come out."""

from __future__ import annotations

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from admlops.deploy.contract import Contract
from admlops.deploy.input_geometry import GraphInput
from admlops.deploy.onnx_file import ExportedModel, read_model
from admlops.deploy.processor import check_weight_bits
from admlops.errors import ConfigError, ExportError, MachineError, nearest

BACKENDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "onnxruntime": ("admlops.deploy.backends.onnxruntime_backend", "OnnxRuntimeBackend"),
        "openvino": ("admlops.deploy.backends.openvino_backend", "OpenVinoBackend"),
        "tensorrt": ("admlops.deploy.backends.tensorrt_backend", "TensorRtBackend"),
    }
)
"""Module and class by name."""


class Backend(ABC):
    """An exported file, ready to run. May be called from several threads at once.

    Attributes:
        contract: What the file says of itself.

    Args:
        model: What the file holds.
    """

    def __init__(self, model: ExportedModel) -> None:
        self.contract: Contract = model.contract

    def __call__(self, image_HW3: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Run the network.

        Args:
            image_HW3: uint8 (H, W, 3), BGR, of the network's input size.

        Returns:
            The graph's outputs by name; own copies.

        Raises:
            ExportError: The image has another size or type, or the network reads no image.
        """
        shape = (*self.contract.camera.input_hw, 3)
        if image_HW3.shape != shape or image_HW3.dtype != np.uint8:
            raise ExportError(
                "the image is not the network's input",
                expected=f"uint8 {shape}",
                got=f"{image_HW3.dtype} {image_HW3.shape}",
                remedy="bring it to that size with the file's geometry, as admlops.deploy.Predictor does",
            )
        (given,) = self.contract.geometry.inputs
        return self._run({given.name: np.ascontiguousarray(image_HW3[np.newaxis])})

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network on arrays.

        Args:
            inputs: By the names of ``contract.geometry.inputs``.

        Returns:
            The graph's outputs by name; own copies.

        Raises:
            ExportError: An array is missing, or of another type or shape.
        """
        declared = self.contract.geometry.inputs
        if set(inputs) != {each.name for each in declared}:
            raise ExportError(
                "these are not the network's inputs", expected=", ".join(each.name for each in declared), got=", ".join(inputs)
            )
        sizes: dict[str, int] = {}
        for each in declared:
            array = inputs[each.name]
            # A size that has a name is the same wherever that name stands.
            wanted = dict(zip(each.shape, array.shape, strict=False))
            shape = tuple(sizes.setdefault(size, wanted[size]) if isinstance(size, str) else size for size in each.shape)
            if array.shape != shape or array.dtype != each.dtype:
                raise ExportError(
                    f"{each.name} is not the network's input",
                    expected=f"{each.dtype} ({', '.join(map(str, each.shape))})",
                    got=f"{array.dtype} {array.shape}",
                )
        return self._run({each.name: np.ascontiguousarray(inputs[each.name]) for each in declared})

    @abstractmethod
    def _run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network on arrays of the right type and shape, in the order of the graph's inputs."""


def open_backend(path: str | Path, backend: str | None = None, **options: Any) -> Backend:
    """Open an exported file and run it once, so that the first call is as fast as the next.

    Args:
        path: The file.
        backend: A name in ``BACKENDS``; by default the runtime that the file was written for.
        **options: Of the backend's class.

    Returns:
        The network, ready to run.

    Raises:
        ConfigError: There is no such backend, or it has no such option.
        ExportError: The file cannot be used, or was written for another runtime.
        MachineError: The runtime is not installed, or the processor would saturate.
    """
    model = read_model(path)
    name = backend or model.target
    if name not in BACKENDS:
        raise ConfigError("there is no such backend", where=path, got=name, remedy=nearest(name, BACKENDS))
    quantization = model.contract.quantization
    if quantization is not None:
        if name != model.target:
            raise ExportError(
                "the integers in the file are written for another runtime",
                where=path,
                expected=name,
                got=model.target,
                remedy=f"export the network again with --backend {name}, or run the file with {model.target}",
            )
        check_weight_bits(quantization.weight_bits, name)
    module, class_name = BACKENDS[name]
    backend_class = getattr(importlib.import_module(module), class_name)
    known = list(inspect.signature(backend_class).parameters)[1:]
    for option in options:
        if option not in known:
            raise ConfigError(f"the backend {name} has no such option", got=option, remedy=nearest(option, known))
    opened: Backend = backend_class(model, **options)
    opened.run({each.name: _empty(each) for each in model.contract.geometry.inputs})
    return opened


def _empty(given: GraphInput) -> NDArray[Any]:
    return np.zeros([1 if isinstance(size, str) else size for size in given.shape], given.dtype)


def import_runtime(package: str) -> ModuleType:
    """Import a runtime.

    Args:
        package: Name of the package.

    Returns:
        The module.

    Raises:
        MachineError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        extra = "pip install -e .[deploy]" if package != "tensorrt" else "pip install tensorrt, of the version for your driver"
        raise MachineError(f"the package {package} cannot be imported", got=error, remedy=extra) from error
