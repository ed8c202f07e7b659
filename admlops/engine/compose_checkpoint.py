"""Checkpoints move between networks: six single-task ones make a multi-task one, a multi-task one gives one task back.

Tensors of the same name are shared. A composed checkpoint holds, for a config's network, the shared tensors of one checkpoint
and each branch's of one checkpoint; to extract is to compose for a config of fewer branches. What is taken are the weights in
``state_dict``, with ``EMAHook`` the averaged ones, which a test uses too; buffers (BN's statistics, the classes that a branch
has ``seen``) belong to them. What only training needs (optimizer, schedules, loss balance) starts anew: ``--load-from``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from admlops.data_release.cache import sha256_of
from admlops.data_release.lineage import lineage_path
from admlops.engine.checkpoint import plain, read_checkpoint
from admlops.engine.config import load_config
from admlops.engine.lineage import derived_lineage, write_lineage
from admlops.errors import CheckpointError, ConfigError, nearest
from admlops.models.detectors import MultiTaskDetector
from admlops.registry import MODELS

Weights = Mapping[str, Tensor]

_BRANCHES, _TRAINING_ONLY = "branches.", "loss_balance."


@dataclass(frozen=True)
class SourceReport:
    """A checkpoint that something was taken from.

    Attributes:
        path: The file as it was named.
        sha256: Hash of the file.
        weights: ``averaged`` (EMA), ``plain`` or ``composed``.
        iteration: Iterations that it was trained for; None where it does not say or was composed.
        made_of: Files that it was itself composed of, by part; empty otherwise.
    """

    path: str
    sha256: str
    weights: str
    iteration: int | None
    made_of: Mapping[str, str]


@dataclass(frozen=True)
class PartOrigin:
    """Where the tensors of one part come from.

    Attributes:
        name: ``backbone``, ``neck`` or ``branches.<name>``.
        is_shared: Whether all branches use it.
        source: Path of the checkpoint.
        num_parameters: Weights and biases.
        parameters: Full names of its parameters.
        buffers: Full names of its buffers.
        num_other_shared: Shared tensors of the source that are not those of the result, bit for bit; above 0 for a branch that
            was trained on another trunk.
    """

    name: str
    is_shared: bool
    source: str
    num_parameters: int
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    num_other_shared: int


@dataclass(frozen=True)
class CompositionReport:
    """What came from where.

    Attributes:
        config: Config of the network.
        parts: Trunk, neck, then the branches in their order.
        sources: The checkpoints.
    """

    config: str
    parts: tuple[PartOrigin, ...]
    sources: tuple[SourceReport, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each branch that was trained on another trunk."""
        return tuple(
            f"{part.name} was trained on another trunk ({part.num_other_shared} shared tensors differ): its outputs change;"
            " fine-tune it with the trunk frozen"
            for part in self.parts
            if part.num_other_shared
        )

    def to_json(self) -> dict[str, Any]:
        """Turn the report into JSON types.

        Returns:
            Its fields, the warnings, and the number of shared and unshared parameters.
        """
        counts = {
            key: sum(part.num_parameters for part in self.parts if part.is_shared is shared)
            for key, shared in (("num_shared_parameters", True), ("num_unshared_parameters", False))
        }
        document: dict[str, Any] = json.loads(json.dumps({**asdict(self), **counts, "warnings": self.warnings}))
        return document


@dataclass(frozen=True)
class _Source:
    path: Path
    checkpoint: Mapping[str, Any]

    @property
    def weights(self) -> Weights:
        weights: Weights = self.checkpoint.get("state_dict", self.checkpoint)
        return weights

    @property
    def meta(self) -> Mapping[str, Any]:
        return self.checkpoint.get("meta") or {}

    def report(self) -> SourceReport:
        parents = self.meta.get("composition", {}).get("parts", ())
        trained = "averaged" if "ema_state_dict" in self.checkpoint else "plain"
        return SourceReport(
            path=str(self.path),
            sha256=sha256_of(self.path),
            weights="composed" if parents else trained,
            iteration=None if parents else self.meta.get("iter"),
            made_of={part["name"]: part["source"] for part in parents},
        )


def compose_checkpoint(
    config: str | Path,
    trunk: str | Path,
    out: str | Path,
    branches: Mapping[str, str | Path] | None = None,
    tasks: Sequence[str] | None = None,
) -> CompositionReport:
    """Put a checkpoint together for the network of a config, and write it with its report beside it.

    Args:
        config: Config whose network the checkpoint is for.
        trunk: Checkpoint that the trunk, the neck and every branch not named in ``branches`` come from.
        out: File to write; the report goes to the same name with ``.json``, and into the checkpoint's ``meta["composition"]``.
            Its lineage names all sources as parents.
        branches: Checkpoint by name of a branch.
        tasks: The branches that the network keeps; all by default.

    Returns:
        The report.

    Raises:
        ConfigError: The network has no such branch.
        CheckpointError: A checkpoint cannot be read, or what is to be taken from it is missing, of another shape, of other
            classes, or more than the network has; or ``out`` is one of the checkpoints.
    """
    cfg = load_config(config)
    _keep_branches(cfg, tasks, config)
    for name in branches or {}:
        if name not in cfg.model.branches:
            raise ConfigError(f"the network has no branch {name!r}", where=config, remedy=nearest(name, cfg.model.branches))
    target = Path(out)
    model: MultiTaskDetector = MODELS.build(cfg.model)
    wanted = {name: Path((branches or {}).get(name, trunk)) for name in model.branches}
    sources: dict[Path, _Source] = {}
    for path in (Path(trunk), *wanted.values()):
        if path.resolve() == target.resolve():
            raise CheckpointError("the result would replace one of its sources", where=target, remedy="give another -o")
        if path not in sources:
            sources[path] = _Source(path, read_checkpoint(path))

    own = model.state_dict()
    shared = _shared(own)
    for source in sources.values():
        _check_part(source, "trunk and neck", shared, _shared(source.weights), "a config with the same trunk and neck")
    for name, path in wanted.items():
        expected, found = _of_branch(own, name), _of_branch(sources[path].weights, name)
        _check_part(sources[path], f"branch {name!r}", expected, found, f"a config with the same branch: --branch {name}=CKPT")
        _check_classes(sources[path], model, name)

    weights = {name: sources[Path(trunk)].weights[name] for name in shared}
    for name, path in wanted.items():
        weights |= {key: sources[path].weights[key] for key in _of_branch(own, name)}
    report = _report(str(config), model, weights, wanted, sources[Path(trunk)], sources)
    meta = {
        "epoch": 0,
        "iter": 0,
        "cfg": cfg.pretty_text,
        "dataset_meta": {"tasks": _tasks_meta(model, wanted, sources)},
        "composition": report.to_json(),
    }
    # The empty hub lets mmengine's resume get as far as the training loop, which refuses in words that help.
    hub: dict[str, Any] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
    lineage = derived_lineage("composed", {path: source.checkpoint for path, source in sources.items()}, target)
    _write(target, plain({"meta": meta, "state_dict": own | weights, "message_hub": hub, "lineage": lineage}), report)
    return report


def format_composition(report: CompositionReport, out: str | Path) -> str:
    """Lay a report out for the screen.

    Args:
        report: Of ``compose_checkpoint``.
        out: The checkpoint that was written.

    Returns:
        A table with one row a part, the sources, and the warnings.
    """
    width = max(len(part.name) for part in report.parts) + 2
    numbers = {source.path: number for number, source in enumerate(report.sources, 1)}
    lines = [f"{'part':<{width}}{'shared':<8}{'parameters':>12}{'tensors':>9}  {'from':<6}trained on"]
    for part in report.parts:
        trunk = "another trunk" if part.num_other_shared else "this trunk"
        lines.append(
            f"{part.name:<{width}}{'yes' if part.is_shared else 'no':<8}{part.num_parameters:>12,}"
            f"{len(part.parameters) + len(part.buffers):>9}  [{numbers[part.source]}]   {'' if part.is_shared else trunk}"
        )
    counts = report.to_json()
    for name, key in (("shared", "num_shared_parameters"), ("unshared", "num_unshared_parameters")):
        lines.append(f"{name:<{width}}{'':<8}{counts[key]:>12,}")
    for source in report.sources:
        trained = "" if source.iteration is None else f", iteration {source.iteration}"
        lines.append(f"[{numbers[source.path]}] {source.path}  {source.weights} weights{trained}, sha256 {source.sha256[:12]}")
    lines += [f"WARNING {warning}" for warning in report.warnings]
    return "\n".join([*lines, f"-> {out}, {Path(out).with_suffix('.json')}"])


def _keep_branches(cfg: Config, tasks: Sequence[str] | None, where: object) -> None:
    for name in tasks or ():
        if name not in cfg.model.branches:
            raise ConfigError(f"the network has no branch {name!r}", where=where, remedy=nearest(name, cfg.model.branches))
    for name in list(cfg.model.branches):
        if tasks is not None and name not in tasks:
            del cfg.model.branches[name]


def _shared(weights: Weights) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.startswith((_BRANCHES, _TRAINING_ONLY))}


def _of_branch(weights: Weights, branch: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if name.startswith(f"{_BRANCHES}{branch}.")}


def _check_part(source: _Source, part: str, expected: Weights, found: Iterable[str], remedy: str) -> None:
    weights = source.weights
    faults = {
        "missing": [name for name in expected if name not in weights],
        "of another shape or type": [
            name
            for name, tensor in expected.items()
            if name in weights and (weights[name].shape, weights[name].dtype) != (tensor.shape, tensor.dtype)
        ],
        "unknown to the network": [name for name in found if name not in expected],
    }
    if any(faults.values()):
        got = "; ".join(f"{len(names)} {fault}, such as {names[0]}" for fault, names in faults.items() if names)
        raise CheckpointError(
            f"the {part} of the checkpoint is not that of the config's network",
            where=source.path,
            expected=f"its {len(expected)} tensors",
            got=got,
            remedy=f"name a checkpoint of {remedy}",
        )


def _check_classes(source: _Source, model: MultiTaskDetector, name: str) -> None:
    task = model.branches[name].task
    recorded = (source.meta.get("dataset_meta") or {}).get("tasks", {}).get(task.name)
    if recorded is not None and tuple(recorded["classes"]) != tuple(task.classes):
        raise CheckpointError(
            f"branch {name!r} of the checkpoint learned other classes",
            where=source.path,
            expected=", ".join(task.classes),
            got=", ".join(recorded["classes"]),
            remedy="channels of other classes, or in another order, cannot be mixed: train the branch again",
        )


def _report(
    config: str,
    model: MultiTaskDetector,
    weights: Weights,
    wanted: Mapping[str, Path],
    trunk: _Source,
    sources: Mapping[Path, _Source],
) -> CompositionReport:
    num_other = {
        path: sum(not torch.equal(tensor, source.weights[name]) for name, tensor in _shared(weights).items())
        for path, source in sources.items()
    }
    unshared, shared = model.get_unshared_and_shared_params()
    parameters = shared | {key: value for branch in unshared.values() for key, value in branch.items()}
    names = [*model.shared_parts, *(f"branches.{name}" for name in wanted)]
    parts = []
    for name in names:
        of_part = [key for key in weights if key.startswith(f"{name}.")]
        branch = name.partition(".")[2]
        source = trunk.path if not branch else wanted[branch]
        parts.append(
            PartOrigin(
                name=name,
                is_shared=not branch,
                source=str(source),
                num_parameters=sum(parameters[key].numel() for key in of_part if key in parameters),
                parameters=tuple(key for key in of_part if key in parameters),
                buffers=tuple(key for key in of_part if key not in parameters),
                num_other_shared=num_other[source],
            )
        )
    return CompositionReport(config, tuple(parts), tuple(source.report() for source in sources.values()))


def _tasks_meta(model: MultiTaskDetector, wanted: Mapping[str, Path], sources: Mapping[Path, _Source]) -> dict[str, Any]:
    tasks = {}
    for name, path in wanted.items():
        task = model.branches[name].task.name
        recorded = (sources[path].meta.get("dataset_meta") or {}).get("tasks", {})
        if task in recorded:
            tasks[task] = recorded[task]
    return tasks


def _write(target: Path, checkpoint: Mapping[str, Any], report: CompositionReport) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    files = [target, target.with_suffix(".json")]
    parts = [file.with_name(f".{file.name}.part") for file in files]
    try:
        with parts[0].open("wb") as handle:
            torch.save(checkpoint, handle)
            handle.flush()
            os.fsync(handle.fileno())
        parts[1].write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
        lineage_path(target).unlink(missing_ok=True)
        for part, file in zip(parts, files, strict=True):
            part.replace(file)
        write_lineage(target, checkpoint["lineage"])
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
