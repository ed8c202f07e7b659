"""The fields of ``training_dataset.json``: one annotated type a field, one code a rule.

To add a field, add a line here; rules that look at several fields are in ``rules.py``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, model_validator

from admlops.data_release import names

DATASET_FILE = "training_dataset.json"
DAGGER_FILE = "training_dataset.dagger.json"

_URL = re.compile(r"([a-z][a-z0-9+.\-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SCHEMES = ("obs", "s3", "http", "https", "file")
_SIGNED_QUERY = re.compile(r"signature|credential|token|accesskey|secret|^sig$|x-amz-", re.IGNORECASE)


@dataclass(frozen=True)
class FieldRule:
    """What a report says about a field that breaks its type.

    Attributes:
        code: Stable identifier, ``E101`` to ``E116``.
        expected: What is valid.
        remedy: What to do.
    """

    code: str
    expected: str
    remedy: str


Status = Literal["pending", "producing", "produced", "failed"]
"""How far the production of an entry, or of a release, has come; an empty ``obs_path`` is legal until it is produced."""

Kind = Literal["regular", "dagger"]
"""Which of the two files a release is; DAgger data lies apart so that nobody trains on it by mistake."""

FILE_OF_KIND: dict[Kind, str] = {"regular": DATASET_FILE, "dagger": DAGGER_FILE}

_T = TypeVar("_T")


def _version(value: str) -> str:
    return _require(value, names.is_version(value), "not a version")


def _consumer_version(value: str) -> str:
    return _require(value, names.is_consumer_version(value), "not a consumer's version")


def _bundle_versions(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        _require(value, names.is_bundle_version(value), f"{value!r} is no bundle's version")
    return _unique(_not_empty(values))


def _tasks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        _require(value, names.is_task_name(value), f"{value!r} is no task's name")
    return _unique(values)


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) == len(values):
        return values
    twice = sorted({value for value in values if values.count(value) > 1})
    return _require(values, False, f"names {', '.join(twice)} twice")


def _not_empty(values: tuple[_T, ...]) -> tuple[_T, ...]:
    # Not pydantic's min_length, which counts valid items and so reports a list whose items are all wrong as empty too.
    return _require(values, len(values) > 0, "an empty list")


def _entry_name(value: str) -> str:
    _require(value, unicodedata.is_normalized("NFC", value), "not in Unicode's normal form NFC")
    _require(value, value == value.strip(), "begins or ends with a space")
    return _require(value, "/" not in value and not _has_control(value), "contains '/' or a control character")


def _obs_path(value: str) -> str:
    _require(value, not _has_control(value) and value == value.strip(), "contains a control character or outer spaces")
    match = _URL.match(value)
    if match is None:
        return value
    scheme, host, path, query = match.groups()
    _require(value, scheme in _SCHEMES, f"has the unknown scheme {scheme!r}")
    secret = (
        "@" in host
        or query is not None
        and any(_SIGNED_QUERY.search(key) for key, _ in parse_qsl(query, keep_blank_values=True))
    )
    _require(value, not secret, "carries credentials")
    return _require(value, bool(host or scheme == "file") and len(path) > 1, "names no object")


def _has_control(value: str) -> bool:
    return _CONTROL.search(value) is not None


def _require(value: _T, ok: bool, what: str) -> _T:
    if not ok:
        raise ValueError(what)
    return value


_VERSION_RULE = FieldRule("E102", "a version such as v1.2.0", "write v<MAJOR>.<MINOR>.<PATCH> without leading zeros")
_TEXT_RULE = FieldRule("E107", "text", "write a string, or delete the key")
_STATUS_RULE = FieldRule("E107", "pending, producing, produced or failed", "use one of these, or delete the key")
_BUNDLES = "bundle versions such as v1.2.0-20251017-100000, v1.2.0-2025.25 or v1.1.0-release, each once"

OptionalText = Annotated[str | None, _TEXT_RULE]
OptionalStatus = Annotated[Status | None, _STATUS_RULE]


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ReleaseMeta(_Fields):
    """What a release is: its name, the versions it was made from, the tasks it serves."""

    release_name: Annotated[
        str, Field(min_length=1, max_length=128), FieldRule("E101", "1 to 128 characters", "name the release")
    ]
    consumer_version: Annotated[
        str,
        AfterValidator(_consumer_version),
        FieldRule("E102", "a version such as v1.2.0 or v1.0.2-finetuning", "copy it from the consumer's file"),
    ]
    version: Annotated[str, AfterValidator(_version), _VERSION_RULE]
    bundle_versions: Annotated[
        tuple[str, ...],
        AfterValidator(_bundle_versions),
        FieldRule("E104", f"a list of one or more {_BUNDLES}", "list every bundle that an entry comes from"),
    ]
    consumer: Annotated[
        str | None,
        Field(min_length=1),
        FieldRule("E103", "the consumer's name", "write the name of its folder in the specification repository"),
    ] = None
    tasks: Annotated[
        tuple[str, ...] | None,
        AfterValidator(lambda values: values if values is None else _tasks(values)),
        FieldRule("E105", "a list of task names such as seg_lane, each once", "list each task once, or delete the key"),
    ] = None
    training_type: Annotated[Kind | None, FieldRule("E106", "regular or dagger", f"dagger data belongs into {DAGGER_FILE}")] = (
        None
    )
    status: OptionalStatus = None
    created_at: OptionalText = None
    description: OptionalText = None

    @model_validator(mode="before")
    @classmethod
    def _accept_single_bundle(cls, value: Any) -> Any:
        # Files written before a release could mix bundles hold one string under the singular key.
        if isinstance(value, dict) and "bundle_version" in value and "bundle_versions" not in value:
            return {**value, "bundle_versions": [value["bundle_version"]]}
        return value


class Integrity(_Fields):
    """What pins the content of an entry's index file: a tag alone fixes only the path."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[StrictInt, Field(ge=0)]
    num_samples: Annotated[StrictInt, Field(ge=0)]
    version_id: str | None = None


class ReleaseEntry(_Fields):
    """One source of a release: an index file, how often it is repeated, and the tasks it serves.

    Attributes:
        name: Unique in the release, whatever the case of its letters.
        obs_path: Where the index file is; empty while its production is pending.
        duplicate: How often an epoch visits each of its samples.
        bundle_versions: Bundles it comes from; empty where the release has only one.
        task_tags: Tasks it serves; None in files older than tags, which serve all of ``meta.tasks``.
        integrity: Hash, size and count of the index file.
    """

    name: Annotated[
        str,
        Field(min_length=1, max_length=255),
        AfterValidator(_entry_name),
        FieldRule("E110", "1 to 255 characters in NFC, without '/' and control characters", "rename the entry"),
    ]
    obs_path: Annotated[
        str,
        AfterValidator(_obs_path),
        FieldRule(
            "E112",
            "an obs://, s3://, http(s):// or file:// URL without credentials, or a path",
            "correct the path; credentials belong into the environment",
        ),
    ]
    duplicate: Annotated[
        StrictInt, Field(ge=1, le=1000), FieldRule("E114", "an integer from 1 to 1000", "write a plain integer")
    ] = 1
    bundle_versions: Annotated[
        tuple[str, ...], AfterValidator(_unique), FieldRule("E113", "a list, each bundle once", "list the entry's bundles")
    ] = ()
    task_tags: Annotated[
        tuple[str, ...] | None,
        AfterValidator(lambda values: values if values is None else _tasks(_not_empty(values))),
        FieldRule("E115", "a list of one or more task names, each once", "tag the entry with the tasks it serves"),
    ] = None
    status: OptionalStatus = None
    produced_at: OptionalText = None
    integrity: Annotated[
        Integrity | None,
        FieldRule("E116", "{sha256: 64 hex digits, bytes: integer, num_samples: integer}", "correct it, or delete the key"),
    ] = None


class TrainingDataset(_Fields):
    """The content of ``training_dataset.json``."""

    meta: Annotated[ReleaseMeta, FieldRule("E108", "an object", "add the key 'meta'")]
    dataset_index: Annotated[
        tuple[ReleaseEntry, ...],
        AfterValidator(_not_empty),
        FieldRule("E108", "a list of one or more entries", "add an entry to 'dataset_index'"),
    ]
