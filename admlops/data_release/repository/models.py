"""Which checkpoints were made from a tag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.lineage import SUFFIX
from admlops.data_release.repository.verify import read_lineage_file
from admlops.data_release.text_table import text_table
from admlops.errors import DataReleaseError


@dataclass(frozen=True)
class Model:
    """A checkpoint.

    Attributes:
        path: Of the file; where only its lineage was kept, the file that it describes.
        iteration: How far it was trained; None where it does not say.
        code_commit: Full sha; None where the code came from no repository.
        dirty: Whether that code had uncommitted changes; None where there is no commit.
        data_commit: Commit that the tag stood for.
        tag_object: The tag then; differing ones among the models of one tag mean that it was moved.
        parents: Files that it was fine-tuned from.
        metrics: Of a report beside it that is of this very file: means over classes, by ``<task>/<metric>``.
    """

    path: str
    iteration: int | None
    code_commit: str | None
    dirty: bool | None
    data_commit: str
    tag_object: str
    parents: tuple[str, ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Models:
    """The checkpoints of a tag.

    Attributes:
        tag: The tag.
        models: They, by path.
    """

    tag: str
    models: tuple[Model, ...]

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"tag": self.tag, "models": [asdict(model) for model in self.models]}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        if not self.models:
            return f"no checkpoint here was made from {self.tag}"
        header = ("checkpoint", "iteration", "code", "data", "parents", "metrics")
        rows = [
            (
                model.path,
                "-" if model.iteration is None else str(model.iteration),
                (model.code_commit or "-")[:12] + (" dirty" if model.dirty else ""),
                model.data_commit[:12],
                ", ".join(model.parents) or "-",
                ", ".join(f"{name} {value:.3f}" for name, value in model.metrics.items()) or "-",
            )
            for model in self.models
        ]
        lines = [text_table(header, rows)]
        if len({model.tag_object for model in self.models}) > 1:
            lines.append(f"{self.tag} was moved or made again between these: see data, and `admlops data verify`")
        return "\n".join(lines)


def models(tag: str, work_dirs: str | Path = "work_dirs") -> Models:
    """Find the checkpoints that were trained on a tag.

    Args:
        tag: Such as ``multi_task/v1.0.0``.
        work_dirs: Folder to search, with all below it; every ``*.lineage.json`` in it is read, no checkpoint is opened.

    Returns:
        They; those that were fine-tuned on another tag from one of them are not among them.

    Raises:
        DataReleaseError: There is no such folder, or a lineage is damaged.
    """
    folder = Path(work_dirs)
    if not folder.is_dir():
        raise DataReleaseError("there is no such folder", where=folder, remedy="name the one that holds runs: --work-dirs DIR")
    found = []
    for file in sorted(folder.rglob(f"*{SUFFIX}")):
        document = read_lineage_file(file)
        data = document.get("data") or {}
        if (data.get("ref_kind"), data.get("ref")) == ("tag", tag):
            found.append(_model(file, document))
    return Models(tag, tuple(found))


def _model(file: Path, document: Mapping[str, Any]) -> Model:
    data, code = document["data"], document["code"]
    return Model(
        path=str(file).removesuffix(SUFFIX),
        iteration=document["iteration"],
        code_commit=code["commit"],
        dirty=code["dirty"],
        data_commit=data["commit"],
        tag_object=data["tag_object"],
        parents=tuple(parent["file"] for parent in document["parents"]),
        metrics=_metrics(file.parent / "metrics.json", document),
    )


def _metrics(report: Path, document: Mapping[str, Any]) -> dict[str, float]:
    try:
        measured = json.loads(report.read_bytes())
        lineage = measured["lineage"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    of_this_file = lineage.get("checkpoint_sha256") == document["checkpoint"]["sha256"]
    model = lineage.get("model") or {}
    # A validation measures the network that a checkpoint of the same run and iteration holds.
    of_this_step = lineage.get("checkpoint_sha256") is None and model.get("sampler") == document.get("sampler") is not None
    if not (of_this_file or of_this_step):
        return {}
    return {name: value for name, value in measured["metrics"].items() if name.count("/") == 1 and value is not None}
