"""The steps of a training: float, trunk absorbed, branches absorbed, integers; and the network that each of them has.

``solver`` lists them. A step with ``observers`` trains a network that simulates integers, one with ``conversion`` turns it into
integers. Every checkpoint says how far its network is, so that later tools can build it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from admlops.engine.checkpoint import check_fit, read_checkpoint
from admlops.engine.config import FLOAT_STEP
from admlops.engine.fusion_bn import match_fusion_bn
from admlops.errors import CheckpointError, ConfigError, nearest
from admlops.quantization import IntegerNetwork, QuantSpec, absorb_bn, prepare
from admlops.registry import MODELS


@dataclass(frozen=True)
class Observers:
    """How a quantized step learns the ranges of activations.

    Attributes:
        calibration_batches: Training batches of each process before the first iteration of a network without ranges.
        observe_until: Part of the iterations after which the ranges stand still.
    """

    calibration_batches: int = 16
    observe_until: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.calibration_batches, int) or self.calibration_batches < 1:
            raise ConfigError("calibration_batches is unusable", expected="at least 1", got=self.calibration_batches)
        if not 0 <= self.observe_until <= 1:
            raise ConfigError("observe_until is unusable", expected="a part of the iterations, 0 to 1", got=self.observe_until)


@dataclass(frozen=True)
class Conversion:
    """How integers are made.

    Attributes:
        check_images: Pictures on which integers and simulation must be equal before anything is written.
    """

    check_images: int = 2


@dataclass(frozen=True)
class Step:
    """One step of a training.

    Attributes:
        index: Index into ``solver``.
        name: Name, the prefix of its checkpoints.
        previous: Name of the step before, whose last checkpoint it starts from; None for the first.
        observers: How it quantizes; None for a float step and for a conversion.
        conversion: How it converts; None for a training.
        spec: Integers of the target; None for a float step.
    """

    index: int
    name: str
    previous: str | None
    observers: Observers | None
    conversion: Conversion | None
    spec: QuantSpec | None

    def last(self, work_dir: str | Path) -> Path:
        """Name the checkpoint that the step ends with.

        Args:
            work_dir: Folder of all steps.

        Returns:
            The file, whether it is there or not.
        """
        return Path(work_dir) / f"{self.name}-last.pth"


def read_steps(cfg: Config) -> tuple[Step, ...]:
    """Read the steps of a config.

    Args:
        cfg: A config.

    Returns:
        Its steps in order.

    Raises:
        ConfigError: A name occurs twice, steps are in an order that cannot be, or something is absorbed in no step.
    """
    entries: Sequence[Mapping[str, Any]] = cfg.get("solver") or [{"name": FLOAT_STEP}]
    steps: list[Step] = []
    for index, entry in enumerate(entries):
        where = f"{cfg.filename}: solver.{index}"
        observers, conversion = entry.get("observers"), entry.get("conversion")
        before = steps[-1] if steps else None
        quantizes, converts = observers is not None, conversion is not None
        faults = {
            "the first step trains in float": before is None and (quantizes or converts),
            "a conversion follows a step with observers": converts and (before is None or before.observers is None),
            "a step has either observers or a conversion": quantizes and converts,
            "nothing follows a conversion": before is not None and before.conversion is not None,
            "each name is given once": entry["name"] in [step.name for step in steps],
            "a float step follows no quantized one": before is not None and before.spec and not (quantizes or converts),
        }
        for rule, broken in faults.items():
            if broken:
                raise ConfigError("the order of the steps cannot be", where=where, expected=rule, got=entry["name"])
        steps.append(
            Step(
                index=index,
                name=entry["name"],
                previous=before.name if before else None,
                observers=Observers(**observers) if observers is not None else None,
                conversion=Conversion(**conversion) if conversion is not None else None,
                spec=QuantSpec(**(cfg.get("quantization") or {})) if quantizes or converts else None,
            )
        )
    names = [step.name for step in steps]
    for name in cfg.get("fusion_bn_patterns") or {}:
        if len(steps) > 1 and name not in names:
            raise ConfigError(
                f"there is no step {name!r} to absorb BN layers in", where="fusion_bn_patterns", remedy=nearest(name, names)
            )
    return tuple(steps)


def current_step(cfg: Config) -> Step:
    """Find the step that a config was loaded for.

    Args:
        cfg: A config of ``load_config``.

    Returns:
        The step.
    """
    return read_steps(cfg)[cfg.get("step") or 0]


@dataclass(frozen=True)
class NetworkState:
    """How far a network is from its float beginning.

    Attributes:
        step: Name of the step that trained it.
        quantization: The integers that it simulates; None for a float network.
        absorbed_bn: Names of the BN layers that it no longer has.
    """

    step: str
    quantization: QuantSpec | None = None
    absorbed_bn: tuple[str, ...] = ()

    def to_meta(self) -> dict[str, Any]:
        """Turn it into plain values.

        Returns:
            What ``meta["step"]`` of a checkpoint holds.
        """
        return asdict(self)

    @classmethod
    def of_checkpoint(cls, checkpoint: Mapping[str, Any]) -> NetworkState:
        """Read it from a checkpoint.

        Args:
            checkpoint: Content of the file.

        Returns:
            The state; that of a float network where the checkpoint does not say.
        """
        meta = (checkpoint.get("meta") or {}).get("step") or {"step": FLOAT_STEP}
        spec = meta.get("quantization")
        return cls(meta["step"], QuantSpec(**spec) if spec else None, tuple(meta.get("absorbed_bn") or ()))


def state_of_step(cfg: Config, network: nn.Module) -> NetworkState:
    """Say what the network of a config's step will be.

    Args:
        cfg: Config, loaded for that step.
        network: Its float network.

    Returns:
        The state, with the BN layers of this step and of those before it.

    Raises:
        ConfigError: ``fusion_bn_patterns`` do not fit the network.
    """
    steps, step = read_steps(cfg), current_step(cfg)
    matched = match_fusion_bn(network, cfg.get("fusion_bn_patterns") or {})
    if step.spec is None:
        return NetworkState(step.name)
    names = [name for each in steps[: step.index + 1] if each.spec for name in matched.get(each.name, ())]
    return NetworkState(step.name, step.spec, tuple(names))


def shape_network(network: nn.Module, state: NetworkState) -> None:
    """Make a float network one that has a checkpoint's tensors.

    Args:
        network: Float; changed in place.
        state: What it becomes.
    """
    if state.quantization is not None:
        prepare(network, state.quantization)
        absorb_bn(network, state.absorbed_bn)


def start_step(network: nn.Module, state: NetworkState, previous: str, path: str | Path) -> dict[str, Any]:
    """Give the network of a quantized step the weights of the step before, and absorb what it absorbs.

    Args:
        network: Float; changed in place.
        state: What it becomes.
        previous: Name of the step before.
        path: A checkpoint of that step.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: Missing, truncated, of another step, of other integers or of another network.
    """
    checkpoint = read_checkpoint(path)
    before = require_previous(checkpoint, state.step, previous, path)
    if before.quantization is not None and before.quantization != state.quantization:
        raise CheckpointError(
            "the checkpoint was trained for other integers",
            where=path,
            expected=state.quantization,
            got=before.quantization,
            remedy="set the config's `quantization` back, or train again from the float step on",
        )
    shape_network(network, before)
    load_weights(network, checkpoint, path, strict=True)
    if before.quantization is None:
        shape_network(network, state)
    else:
        absorb_bn(network, [name for name in state.absorbed_bn if name not in before.absorbed_bn])
    return checkpoint


def require_previous(checkpoint: Mapping[str, Any], step: str, previous: str, path: str | Path) -> NetworkState:
    """Refuse a checkpoint that is not of the step before.

    Args:
        checkpoint: Content of the file.
        step: Name of the step that would start from it.
        previous: Name of the step before.
        path: The file, for the message.

    Returns:
        How far its network is.

    Raises:
        CheckpointError: It is of another step.
    """
    state = NetworkState.of_checkpoint(checkpoint)
    if state.step != previous:
        raise CheckpointError(
            f"step {step} does not start from this",
            where=path,
            expected=f"a checkpoint of step {previous}",
            got=f"one of step {state.step}",
            remedy="run the steps in the order of the config's solver",
        )
    return state


def load_weights(network: nn.Module, checkpoint: Mapping[str, Any], path: str | Path, strict: bool = False) -> None:
    """Load weights that fit.

    Args:
        network: Changed in place.
        checkpoint: Content of the file.
        path: The file, for messages.
        strict: Whether tensors that the network has not are refused too.

    Raises:
        CheckpointError: They do not fit.
    """
    weights = checkpoint.get("state_dict", checkpoint)
    check_fit(network, weights, path, strict)
    network.load_state_dict(weights, strict=False)


def load_network(network: nn.Module, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Make a float network that of a checkpoint, whatever training step it is of.

    Args:
        network: Float; changed in place.
        checkpoint: Content of the file.
        path: The file, for messages.

    Raises:
        CheckpointError: It is of another network.
    """
    state = NetworkState.of_checkpoint(checkpoint)
    modules = dict(network.named_modules())
    if unknown := [name for name in state.absorbed_bn if name not in modules]:
        raise CheckpointError(
            "the checkpoint does not fit the config's network",
            where=path,
            expected="one that absorbed BN layers of this network",
            got=f"{len(unknown)} that it does not have, such as {unknown[0]}",
            remedy="give the config that the checkpoint was trained with",
        )
    shape_network(network, state)
    load_weights(network, checkpoint, path)


def float_state(network: Any) -> dict[str, Tensor]:
    """Collect what the parts hold that stay in floats.

    Args:
        network: A ``MultiTaskDetector``.

    Returns:
        Tensors by their names in the network.
    """
    parts = tuple(f"{part}." for part in network.float_parts)
    return {name: tensor for name, tensor in network.state_dict().items() if name.startswith(parts)}


def build_network(cfg: Config, path: str | Path) -> nn.Module:
    """Build the network of a checkpoint, whatever step it is of.

    Args:
        cfg: The config that it was trained with.
        path: The checkpoint.

    Returns:
        In eval mode on the CPU, with its weights: a float network, one that simulates integers, or an ``IntegerNetwork``.

    Raises:
        CheckpointError: Missing, truncated, or of another network.
    """
    checkpoint = read_checkpoint(path)
    meta = checkpoint.get("meta") or {}
    if "structure" in meta:
        return IntegerNetwork.from_state(meta["structure"], checkpoint["state_dict"]).eval()
    with DefaultScope.overwrite_default_scope("admlops"):
        network: nn.Module = MODELS.build(cfg.model)
    load_network(network, checkpoint, path)
    return network.eval()
