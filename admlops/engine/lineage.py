"""What a run is made of: code, data, config, parents. Collected once, written into every checkpoint and report.

The document holds plain values and nothing of this machine: paths of parents are relative to the checkpoint's folder.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.runner import BaseLoop, Runner

from admlops import __version__
from admlops.data_release.cache import sha256_of
from admlops.data_release.code_state import read_code_state
from admlops.data_release.config_hash import config_sha256
from admlops.data_release.lineage import describe_release, lineage_path
from admlops.datasets import ReleaseDataset
from admlops.engine.release_train_loop import ReleaseTrainLoop
from admlops.engine.require_clean import find_data_releases
from admlops.project import project_root

LINEAGE_VERSION = 1

_PACKAGES = ("mmengine", "mmcv", "mmdet", "mmsegmentation", "mmdet3d", "numpy")


class RunLineage:
    """The lineage of one run. Made as the run begins, since code may be edited while it goes on.

    Args:
        work_dir: Where its checkpoints go.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.work_dir = Path(work_dir)
        self.code = read_code_state()
        self.packages = installed_packages()
        self.config: dict[str, Any] = {"file": None, "sha256": None}
        self.parents: list[dict[str, Any]] = []
        self.resumed_from: list[dict[str, Any]] = []
        self._loaded: tuple[str, Mapping[str, Any]] | None = None
        self._data: dict[str, dict[str, Any]] = {}

    def note_config(self, filename: str | None, text: str, dumped: str) -> None:
        """Remember the config as it was dumped.

        Args:
            filename: The file that it came from.
            text: What was dumped.
            dumped: Name of the file that it was dumped into, beside the checkpoints.
        """
        self.config = {"file": _in_project(filename), "sha256": config_sha256(text), "dumped": dumped}

    def note_loaded(self, path: str, checkpoint: Mapping[str, Any]) -> None:
        """Remember which weights the run started from, or tests.

        Args:
            path: The checkpoint.
            checkpoint: Its content.
        """
        self._loaded = (path, checkpoint.get("lineage") or {})
        self.parents = [describe_parent("load_from", path, checkpoint, self.work_dir)]

    def note_resumed(self) -> None:
        """Remember that the weights loaded last are the run's own: its parents stay those of its beginning."""
        if self._loaded is None:
            return
        path, before = self._loaded
        stop = {key: value for key, value in self.parents[0].items() if key != "parents"} | {"relation": "resume"}
        self.parents = [_moved(parent, Path(path).parent, self.work_dir) for parent in before.get("parents", ())]
        self.resumed_from = [*before.get("resumed_from", ()), stop]

    def of_checkpoint(self, runner: Runner, iteration: int | None) -> dict[str, Any]:
        """Describe a checkpoint of the run.

        Args:
            runner: The runner.
            iteration: Of the checkpoint.

        Returns:
            The document.
        """
        loop = runner.train_loop
        return {
            "version": LINEAGE_VERSION,
            "iteration": iteration,
            **self._run(runner),
            "data": self._data_of(runner, "train"),
            "sampler": loop.state_dict() if isinstance(loop, ReleaseTrainLoop) else None,
            "parents": self.parents,
            "resumed_from": self.resumed_from,
        }

    def of_report(self, runner: Runner, split: str) -> dict[str, Any]:
        """Describe numbers: the network that was measured, the data and the code that it was measured with.

        Args:
            runner: The runner.
            split: ``val`` or ``test``.

        Returns:
            ``checkpoint_sha256`` (null where the network is measured while it trains), ``model`` (lineage of the network; null
            where its checkpoint has none), ``data`` and what a checkpoint's lineage says of a run.
        """
        training = isinstance(runner._train_loop, BaseLoop)
        path, loaded = self._loaded or (None, None)
        return {
            "version": LINEAGE_VERSION,
            "checkpoint_sha256": None if training or path is None else _sha256(path),
            "model": self.of_checkpoint(runner, runner.iter) if training else loaded or None,
            **self._run(runner),
            "data": self._data_of(runner, split),
        }

    def _run(self, runner: Runner) -> dict[str, Any]:
        return {
            "code": self.code.to_json(),
            "config": self.config,
            "packages": self.packages,
            "world_size": int(runner.world_size),
            "seed": runner.seed,
        }

    def _data_of(self, runner: Runner, split: str) -> dict[str, Any]:
        if split not in self._data:
            loader = getattr(runner, f"{split}_dataloader")
            self._data[split] = describe_data(loader) | {"location": _location(runner.cfg.get(f"{split}_dataloader"))}
        return self._data[split]


def describe_data(dataloader: Any) -> dict[str, Any]:
    """Describe what a loader reads.

    Args:
        dataloader: Built; its data set may be wrapped.

    Returns:
        What ``describe_release`` gives, with the ``mix`` in its selection; ``absent`` with the reason for other data sets.
    """
    dataset = dataloader.dataset
    while not isinstance(dataset, ReleaseDataset):
        inner = getattr(dataset, "dataset", None) or vars(dataset).get("_dataset")
        if inner is None:
            return {"absent": f"{type(dataset).__name__} does not read a data release"}
        dataset = inner
    draws = {segment.name: segment.stop - segment.start for segment in dataset.segments}
    tasks = list(dataset.task_specs)
    section = describe_release(dataset.release, dataset.selected, tasks, draws, repeats=not dataset.test_mode)
    sampler = dataloader.sampler
    section["selection"]["mix"] = sampler.state_dict()["mix"] if hasattr(sampler, "state_dict") else None
    section["selection"]["num_quarantined"] = int(getattr(dataset, "num_quarantined", 0))
    return section


def describe_parent(relation: str, path: str | Path, checkpoint: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Describe a checkpoint that another one comes from, in short, with its own parents.

    Args:
        relation: ``load_from``, ``resume``, ``composed`` or ``exported``.
        path: The checkpoint, or an address.
        checkpoint: Its content.
        folder: Of the file that comes from it.

    Returns:
        ``relation``, ``file`` (relative to ``folder``), ``sha256`` (null for an address), ``iteration``, ``code`` and ``data``
        (null where it has no lineage), and ``parents`` (``file`` of each relative to the folder of this one).
    """
    known = checkpoint.get("lineage") or {}
    meta = checkpoint.get("meta") or {}
    code, data = known.get("code"), known.get("data") or {}
    return {
        "relation": relation,
        "file": str(path) if "://" in str(path) else os.path.relpath(path, folder),
        "sha256": _sha256(path),
        "iteration": meta.get("iter"),
        "code": {key: code[key] for key in ("repository", "commit", "dirty", "diff_sha256")} if code else None,
        "data": {key: data[key] for key in ("repository", "ref", "tag_object", "commit", "file_sha256")}
        if "commit" in data
        else None,
        "parents": known.get("parents") or _composed_of(meta, Path(path).parent),
    }


def derived_lineage(relation: str, sources: Mapping[str | Path, Mapping[str, Any]], out: str | Path) -> dict[str, Any]:
    """Describe a file that is made of checkpoints without training: a composed checkpoint, an export.

    Args:
        relation: ``composed`` or ``exported``.
        sources: Content by path of the checkpoints.
        out: The file.

    Returns:
        The document: the code that made it and all its parents. What data it has seen stands in them.
    """
    return {
        "version": LINEAGE_VERSION,
        "iteration": None,
        "code": read_code_state().to_json(),
        "packages": installed_packages(),
        "data": {"absent": f"{relation}: see the parents"},
        "parents": [describe_parent(relation, path, content, Path(out).parent) for path, content in sources.items()],
        "resumed_from": [],
    }


def write_lineage(file: str | Path, document: Mapping[str, Any]) -> Path:
    """Write the lineage of a file beside it, whole or not at all; every export calls this when its file is complete.

    Args:
        file: A checkpoint or an export.
        document: Its lineage.

    Returns:
        ``<file>.lineage.json``: the document, with name, hash and size of the file.
    """
    file = Path(file)
    target = lineage_path(file)
    described = {"file": file.name, "sha256": sha256_of(file), "bytes": file.stat().st_size}
    part = target.with_name(f".{target.name}.part")
    with part.open("w", encoding="utf-8") as handle:
        json.dump({"checkpoint": described, **document}, handle, indent=1, ensure_ascii=False)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(target)
    return target


def installed_packages() -> dict[str, str]:
    """List the packages whose versions change what a network computes.

    Returns:
        Version by name, sorted; packages that are not installed are left out.
    """
    found = {"admlops": __version__, "opencv": cv2.__version__, "python": platform.python_version(), "torch": torch.__version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted((name, str(version)) for name, version in found.items()))


def _composed_of(meta: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    # Checkpoints composed before there was a lineage name their sources in a report of their own.
    return [
        {
            "relation": "composed",
            "file": os.path.relpath(source["path"], folder),
            "sha256": source["sha256"],
            "iteration": source["iteration"],
            "code": None,
            "data": None,
            "parents": [],
        }
        for source in (meta.get("composition") or {}).get("sources", ())
    ]


def _moved(parent: Mapping[str, Any], old: Path, new: Path) -> dict[str, Any]:
    file = parent["file"]
    return {**parent, "file": file if "://" in file else os.path.relpath(old / file, new)}


def _sha256(path: str | Path) -> str | None:
    return None if "://" in str(path) else sha256_of(Path(path))


def _in_project(filename: str | None) -> str | None:
    if filename is None:
        return None
    path = Path(filename).resolve()
    root = project_root().resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def _location(node: Any) -> str | None:
    found = next(find_data_releases(node), None)
    return None if found is None else str(found.get("repo") or found.get("root"))
