"""Follows a picture through a network and notes which layers it passes, and what happens to it outside of them.

Integers need a place for each quantizer, so a network is a graph of the layers listed in ``layer_kinds.py``. Whatever else is
done to a tensor (a bare ``+``, a sigmoid, a slice) is noted with the module that does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from admlops.quantization.layer_kinds import INPUT_KINDS, kind_of

EXAMPLE_SHAPE = (1, 3, 128, 192)
"""Of a picture; a map of features has as many channels as its ``FeatureInput`` says."""
IMAGE = "image"


@dataclass(frozen=True)
class Call:
    """One layer's call.

    Attributes:
        name: Name of the module.
        module: The module.
        kind: Its kind, see ``layer_kinds.py``.
        inputs: Names of the calls (or ``image``: what the network is called with) whose outputs it read.
    """

    name: str
    module: nn.Module
    kind: str
    inputs: tuple[str, ...]


@dataclass
class Trace:
    """What a picture met.

    Attributes:
        image_channels: Channels of the picture, or of the map that it stands for.
        calls: Calls of layers, in order.
        outputs: Name of the call by name of the raw output.
        foreign: What integers do not know, a sentence each, named by module.
    """

    image_channels: int
    calls: list[Call] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)

    def readers(self, name: str) -> list[Call]:
        """List the calls that read a value, not only its size.

        Args:
            name: Name of a call.

        Returns:
            Its readers.
        """
        return [call for call in self.calls if name in (call.inputs[:1] if call.kind == "upsample" else call.inputs)]

    def __getitem__(self, name: str) -> Call:
        return next(call for call in self.calls if call.name == name)


class _Watch(TorchFunctionMode):
    def __init__(self, on_foreign: Callable[[str, Sequence[Tensor], Any], None]) -> None:
        super().__init__()
        self.on_foreign = on_foreign
        self.depth = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.depth:
            return func(*args, **(kwargs or {}))
        read = list(_tensors([args, kwargs or {}]))
        versions = [_version(tensor) for tensor in read]
        result = func(*args, **(kwargs or {}))
        made = [tensor for tensor in _tensors(result) if not any(tensor is each for each in read)]
        # An operation in place (``+=``, an assignment to a slice) makes no tensor, but another value of one.
        made += [tensor for tensor, version in zip(read, versions, strict=True) if _version(tensor) != version]
        if made:
            self.on_foreign(resolve_name(func) or getattr(func, "__name__", str(func)), read, made)
        return result


class _Recorder:
    def __init__(self, model: nn.Module, image: Tensor) -> None:
        self.trace = Trace(image.shape[1])
        self.values: dict[int, str] = {id(image): IMAGE}
        self.kept: list[Tensor] = [image]  # an id is unique among living objects only
        self.scope: list[str] = []
        self.watch = _Watch(self._foreign)
        self.names = {module: name for name, module in model.named_modules()}
        self.seen: set[str] = set()

    def before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.scope.append(self.names[module])
        if kind_of(module) is not None:
            self.watch.depth += 1

    def after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        name, kind = self.scope.pop(), kind_of(module)
        if kind is None:
            return output
        if kind in INPUT_KINDS:
            # Another object, so that who reads the picture itself is told from who reads what this layer makes of it.
            output = output.view_as(output)
        self.watch.depth -= 1
        if self.watch.depth == 0:
            self._note(name, kind, module, [args, kwargs], output)
        return output

    def _note(self, name: str, kind: str, module: nn.Module, given: Any, output: Any) -> None:
        read = list(_tensors(given))
        known = [self.values[id(tensor)] for tensor in read if id(tensor) in self.values]
        if not known:
            return  # nothing of the picture
        if hazard := self._hazard(kind, module, known, given):
            self.trace.foreign.append(f"{name} ({type(module).__name__}): {hazard}")
        if len(known) < len(read):
            self.trace.foreign.append(f"{name} ({type(module).__name__}): reads a tensor that no quantized layer made")
        if kind == "identity":
            self._keep(output, known[0])
            return
        if name in self.seen:
            self.trace.foreign.append(
                f"{name} ({type(module).__name__}): is called more than once, and its inputs may have different scales"
            )
        self.seen.add(name)
        self.trace.calls.append(Call(name, module, kind, tuple(known)))
        self._keep(output, name)

    def _hazard(self, kind: str, module: Any, known: list[str], given: Any) -> str | None:
        if kind in INPUT_KINDS and (known != [IMAGE] or self.trace.calls):
            return "is not where the picture enters the network, once"
        if kind not in INPUT_KINDS and IMAGE in known:
            return "reads the picture without a NetworkInput before it, so it knows no scale"
        if kind == "conv" and (len(given[0]) != 1 or given[1]):
            return "is called with more than a feature map"
        if kind == "max_pool" and (module.ceil_mode or module.return_indices or module.dilation not in {1, (1, 1)}):
            return "has ceil_mode, dilation or indices, which integers lack"
        return None

    def _keep(self, tensor: Tensor, name: str) -> None:
        self.values[id(tensor)] = name
        self.kept.append(tensor)

    def _foreign(self, function: str, read: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        known = [self.values[id(tensor)] for tensor in read if id(tensor) in self.values]
        if known:
            scope = self.scope[-1] if self.scope else ""
            self.trace.foreign.append(f"{scope or 'the network itself'}: {function} is an operation that integers lack")
            for tensor in made:
                self._keep(tensor, known[0])


def trace(model: nn.Module, example_BCHW: Tensor | None = None) -> Trace:
    """Run a network on an example and note what its layers do.

    Args:
        model: A network whose call with a picture returns its raw outputs: a dict, or tensors in lists and tuples. One with a
            ``FeatureInput`` is called with a map instead.
        example_BCHW: Picture or map; zeros of a small size by default, since only the layers matter.

    Returns:
        The trace.
    """
    if example_BCHW is None:
        parameter = next(model.parameters(), None)
        batch, channels, *size = EXAMPLE_SHAPE
        features: Any = next((module for module in model.modules() if kind_of(module) == "feature_input"), None)
        shape = (batch, channels if features is None else features.channels, *size)
        example_BCHW = torch.zeros(shape, device=None if parameter is None else parameter.device)
    recorder = _Recorder(model, example_BCHW)
    handles = [module.register_forward_pre_hook(recorder.before, with_kwargs=True) for module in model.modules()]
    handles += [module.register_forward_hook(recorder.after, with_kwargs=True) for module in model.modules()]
    try:
        with evaluating(model), recorder.watch:
            outputs = model(example_BCHW)
    finally:
        for handle in handles:
            handle.remove()
    for name, tensor in _named_tensors(outputs):
        if id(tensor) in recorder.values:
            recorder.trace.outputs[name] = recorder.values[id(tensor)]
        else:
            recorder.trace.foreign.append(f"the network itself: its output {name!r} does not depend on the picture")
    return recorder.trace


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run a network in eval mode and without gradients, then give each module its own mode back.

    Args:
        model: The network.

    Yields:
        Nothing.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _tensors(tree: Any) -> Iterator[Tensor]:
    for _, tensor in _named_tensors(tree):
        yield tensor


def _named_tensors(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield name or "output", tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _named_tensors(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from _named_tensors(value, f"{name}.{index}" if name else str(index))
