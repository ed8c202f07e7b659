"""Read and check ``training_dataset.json``: every fault at once, each with code, path, line, column and remedy."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from admlops.data_release.problem import NO_SUCH_KEY, Problem, errors_of, locate, path_text, shorten
from admlops.data_release.rules import RULES, Document
from admlops.data_release.schema import FieldRule, Kind, ReleaseEntry, ReleaseMeta, TrainingDataset
from admlops.data_release.strict_json import JsonPath, parse_strict, positions
from admlops.errors import DataReleaseError

_LOGGER = logging.getLogger(__name__)


class InvalidDatasetFileError(DataReleaseError):
    """A dataset file breaks the schema.

    Args:
        problems: All of its faults, warnings included, in the order of the file.
        where: Path of the file.

    Attributes:
        problems: All of its faults, warnings included, in the order of the file.
    """

    problems: tuple[Problem, ...]

    def __init__(self, problems: Sequence[Problem], where: object) -> None:
        errors = errors_of(problems)
        lines = "".join(f"\n  {problem}" for problem in problems)
        counted = "1 fault" if len(errors) == 1 else f"{len(errors)} faults"
        super().__init__(f"the release has {counted}{lines}", where=where, code=errors[0].code)
        self.problems = tuple(problems)


def read_dataset_file(
    content: bytes,
    where: object,
    *,
    kind: Kind = "regular",
    strict: bool = False,
    registered_tasks: Collection[str] | None = None,
) -> TrainingDataset:
    """Parse and check a dataset file; warnings are logged.

    Args:
        content: The file's bytes.
        where: Path of the file, for messages.
        kind: Which of the two files it is.
        strict: Refuse what is only warned of otherwise (before tagging).
        registered_tasks: Tasks that the repository knows; None where it has no registry.

    Returns:
        The checked content.

    Raises:
        DataReleaseError: E100, it is no strict JSON.
        InvalidDatasetFileError: With all faults, where there is any.
    """
    raw = parse_strict(content, where)
    dataset, problems = _check(raw, content, where, Document(raw, kind, registered_tasks), strict)
    if dataset is None or errors_of(problems):
        raise InvalidDatasetFileError(problems, where)
    for problem in problems:
        _LOGGER.warning("%s", problem)
    return dataset


def check_dataset_file(
    content: bytes,
    where: object,
    *,
    kind: Kind = "regular",
    strict: bool = False,
    registered_tasks: Collection[str] | None = None,
) -> tuple[Problem, ...]:
    """List the faults of a dataset file.

    Args:
        content: The file's bytes.
        where: Path of the file, for messages.
        kind: Which of the two files it is.
        strict: Refuse what is only warned of otherwise (before tagging).
        registered_tasks: Tasks that the repository knows; None where it has no registry.

    Returns:
        Faults in the order of the file; empty where it is valid.

    Raises:
        DataReleaseError: E100, it is no strict JSON.
    """
    raw = parse_strict(content, where)
    return tuple(_check(raw, content, where, Document(raw, kind, registered_tasks), strict)[1])


def _check(
    raw: Any, content: bytes, where: object, document: Document, strict: bool
) -> tuple[TrainingDataset | None, list[Problem]]:
    found: list[tuple[JsonPath, dict[str, Any]]] = []
    dataset = None
    try:
        dataset = TrainingDataset.model_validate(raw)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            found.append(_field_fault(tuple(fault["loc"]), fault))
    for rule in RULES:
        for path, what, expected, got, remedy in rule.check(document):
            row = {"code": rule.code, "what": what, "expected": expected, "got": shorten(got), "remedy": remedy}
            found.append((path, {**row, "warning": rule.warning and not strict}))
    if not found:
        return dataset, []
    places = positions(content)
    placed = sorted(((locate(path, places), path, row) for path, row in found), key=lambda hit: (hit[0], hit[2]["code"]))
    return dataset, [Problem(where=str(where), json_path=path_text(path), position=place, **row) for place, path, row in placed]


def _field_fault(path: JsonPath, fault: Any) -> tuple[JsonPath, dict[str, Any]]:
    field_rule = _field_rule(path)
    cause = fault.get("ctx", {}).get("error")
    row = {
        "code": field_rule.code,
        "what": str(cause or fault["msg"]).lower() if fault["type"] == "missing" else str(cause or fault["msg"]),
        "expected": field_rule.expected,
        "got": NO_SUCH_KEY if fault["type"] == "missing" else shorten(fault["input"]),
        "remedy": field_rule.remedy,
    }
    return path, row


def _field_rule(path: JsonPath) -> FieldRule:
    model: type[BaseModel] = TrainingDataset
    name = path[0] if path else "meta"
    if len(path) >= 2 and path[0] == "meta":
        model, name = ReleaseMeta, path[1]
    elif len(path) >= 3 and path[0] == "dataset_index":
        model, name = ReleaseEntry, path[2]
    for item in model.model_fields[str(name)].metadata:
        if isinstance(item, FieldRule):
            return item
    raise KeyError(f"{model.__name__}.{name} has no FieldRule")
