"""``data_release.yaml``: which tasks a repository releases, where its specifications lie, how its storage is reached.

::

    schema_version: 1
    tasks:
      god_base:
        display_name: GOD-Base            # of its releases: "GOD-Base v1.1.0"
        branch: master/god_base           # the default
        allowed_tags: [god_base]          # every entry on the branch serves one of them; default: the task
        description: GOD alone, 20 cm
    dataspechub: {path: ../DataSpecHub, rev: 1b7b86d}     # or url
    storage:
      obs: {endpoint: https://obs.cn-north-4.myhuaweicloud.com, region: cn-north-4}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from admlops.data_release import names
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import NO_SUCH_KEY, Problem, locate, path_text, shorten
from admlops.data_release.schema import FieldRule
from admlops.data_release.strict_json import JsonPath
from admlops.data_release.strict_yaml import parse_strict_yaml
from admlops.errors import DataReleaseError, nearest

REGISTRY_FILE = "data_release.yaml"
GENERIC_DISPLAY_NAME = "TrainingDataset"

_CREDENTIAL_KEY = re.compile(
    r"secret|passw|pwd|token|credential|signature|private_?key|api_?key|access_?key|^(ak|sk|sig)$", re.IGNORECASE
)
# `git@host:path` and `ssh://git@host` name an account, not a secret.
_CREDENTIAL_VALUE = re.compile(
    r"^https?://[^/?#]*@|://[^/?#:@]*:[^/?#@]*@|[?&][^=]*(signature|token|secret)[^=]*=", re.IGNORECASE
)

_SERVER = re.compile(r"https?://[^/\s?#]+/?")


def _require(value: Any, ok: bool, what: str) -> Any:
    if not ok:
        raise ValueError(what)
    return value


def _without_notes(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: member for key, member in value.items() if not str(key).startswith("x_")}


def _task_names(values: tuple[str, ...]) -> Any:
    for value in values:
        _require(value, names.is_task_name(value), f"{value!r} is no task's name")
    return _require(values, 0 < len(values) == len(set(values)), "an empty list, or a name twice")


_TEXT = FieldRule("E122", "text", "write a string, or delete the key")


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_notes(cls, value: Any) -> Any:
        return _without_notes(value)


class TaskEntry(_Fields):
    """A kind of training that gets releases of its own.

    Attributes:
        display_name: What its releases are called, before the version.
        branch: Where its data are curated.
        allowed_tags: Every entry on its branch serves at least one of these tasks.
        description: For people.
    """

    display_name: Annotated[
        str,
        AfterValidator(lambda v: _require(v, names.release_display_name(f"{v} v1.0.0") == v, "not a display name")),
        FieldRule("E122", "text such as GOD-Base", "say what the task's releases are called"),
    ]
    branch: Annotated[
        str,
        AfterValidator(lambda v: _require(v, names.is_branch(v), f"{v!r} is no branch of a data release repository")),
        FieldRule("E122", "a branch such as master/god_base", "write master/<task>, or main where there is only one task"),
    ]
    allowed_tags: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v),
        AfterValidator(_task_names),
        FieldRule("E122", "a list of one or more task names, each once", "list the tasks that entries may serve"),
    ]
    description: Annotated[str, _TEXT] = ""


class DataSpecHub(_Fields):
    """Where the specifications of bundles, consumers and channels are: a checkout, or where to clone it from.

    Attributes:
        path: Folder of a checkout; relative to the repository.
        url: Of its git repository.
        rev: Tag, branch or commit; what is checked out where None.
    """

    path: Annotated[str | None, Field(min_length=1), FieldRule("E123", "a folder", "write a path, or delete the key")] = None
    url: Annotated[str | None, Field(min_length=1), FieldRule("E123", "a URL", "write a URL, or delete the key")] = None
    rev: Annotated[
        str | None,
        AfterValidator(lambda v: _require(v, v is None or re.fullmatch(r"[^\s-][^\s]*", v) is not None, "not a revision")),
        FieldRule("E123", "a tag, branch or commit, in quotes where it is all digits", "write it, or delete the key"),
    ] = None

    @model_validator(mode="after")
    def _one_place(self) -> DataSpecHub:
        return _require(self, (self.path is None) != (self.url is None), "one of path and url is needed, not both")  # type: ignore[no-any-return]


class StorageProfile(_Fields):
    """How one kind of storage, or some of its buckets, is reached; credentials come from the environment.

    Attributes:
        scheme: Of the URLs that it serves.
        endpoint: URL of the server; the one of the client's own configuration where None.
        region: Of the server.
        addressing: Where a bucket's name stands in a URL.
        checksums: ``when_required`` for servers that do not know newer checksums, such as OBS.
        buckets: Which ones it serves; all where empty.
        credentials_profile: Section of the machine's own credentials file.
    """

    scheme: Annotated[Literal["obs", "s3"], FieldRule("E124", "obs or s3", "write one of the two")] = "obs"
    endpoint: Annotated[
        str | None,
        AfterValidator(lambda v: _require(v, v is None or _SERVER.fullmatch(v) is not None, "not a server")),
        FieldRule("E124", "https://host[:port]", "write the server's URL without a path"),
    ] = None
    region: Annotated[str | None, FieldRule("E124", "text", "write a string, or delete the key")] = None
    addressing: Annotated[
        Literal["auto", "path", "virtual"], FieldRule("E124", "auto, path or virtual", "write one of the three")
    ] = "auto"
    checksums: Annotated[
        Literal["when_required", "when_supported"],
        FieldRule("E124", "when_required or when_supported", "write one of the two"),
    ] = "when_required"
    buckets: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v),
        FieldRule("E124", "a list of buckets", "list names, or delete the key"),
    ] = ()
    credentials_profile: Annotated[
        str | None, Field(min_length=1), FieldRule("E124", "a section's name", "write a name, or delete the key")
    ] = None


def _with_defaults(value: Any) -> Any:
    value = _without_notes(value)
    if not isinstance(value, dict):
        return value
    return {
        task: {"branch": f"master/{task}", "allowed_tags": [task], **entry} if isinstance(entry, dict) else entry
        for task, entry in value.items()
    }


def _task_keys(value: dict[str, TaskEntry]) -> dict[str, TaskEntry]:
    for task in value:
        _require(value, names.is_task_name(task), f"{task!r} is no task's name")
    return _require(value, bool(value), "no task")  # type: ignore[no-any-return]


class Registry(_Fields):
    """The content of ``data_release.yaml``.

    Attributes:
        schema_version: Of the file's format.
        tasks: By identifier, which begins their tags.
        dataspechub: Where the specifications are; None where releases are not traced.
        storage: Profiles by name.
    """

    schema_version: Annotated[Literal[1], FieldRule("E121", "1", "this release of admlops reads version 1")]
    tasks: Annotated[
        dict[str, TaskEntry],
        BeforeValidator(_with_defaults),
        AfterValidator(_task_keys),
        FieldRule("E122", "one or more tasks by their identifiers", "register a task"),
    ]
    dataspechub: Annotated[DataSpecHub | None, FieldRule("E123", "{path or url, rev}", "name one of path and url")] = None
    storage: Annotated[
        dict[str, StorageProfile],
        BeforeValidator(_without_notes),
        FieldRule("E124", "profiles by name", "write name: {endpoint: ...}"),
    ] = Field(default_factory=dict)

    @property
    def allowed_task_names(self) -> frozenset[str]:
        """Tasks that a dataset file may name: the registered ones and those that they allow as tags."""
        return frozenset(self.tasks).union(*(entry.allowed_tags for entry in self.tasks.values()))

    def task_of_branch(self, branch: str) -> str | None:
        """Find the task that a branch belongs to.

        Args:
            branch: Its short name.

        Returns:
            Identifier of the task; None where no task has this branch.
        """
        return next((task for task, entry in self.tasks.items() if entry.branch == branch), None)

    def release_name(self, task: str, version: str) -> str:
        """Write a release's name such as ``GOD-Base v1.1.0``.

        Args:
            task: Its identifier.
            version: Such as ``v1.1.0``.

        Returns:
            The task's display name and the version.
        """
        return f"{self.tasks[task].display_name} {version}"

    def is_release_name(self, name: str) -> bool:
        """Tell whether ``name`` is ``TrainingDataset vX.Y.Z`` or a registered display name with a version."""
        display_name = names.release_display_name(name)
        return display_name == GENERIC_DISPLAY_NAME or any(t.display_name == display_name for t in self.tasks.values())


class InvalidRegistryError(DataReleaseError):
    """``data_release.yaml`` is invalid.

    Args:
        problems: All of its faults, in the order of the file.
        where: Path of the file.

    Attributes:
        problems: All of its faults, in the order of the file.
    """

    problems: tuple[Problem, ...]

    def __init__(self, problems: tuple[Problem, ...], where: object) -> None:
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"the registry of tasks is invalid{lines}", where=where, code=problems[0].code)
        self.problems = problems


def read_registry(repository: GitRepository, commit: str) -> Registry | None:
    """Read the registry of a commit.

    Args:
        repository: The repository.
        commit: Full sha.

    Returns:
        The checked content; None where the commit has no such file.

    Raises:
        DataReleaseError: E120, it is no plain YAML.
        InvalidRegistryError: E121 to E127, with all faults.
    """
    content = repository.read(commit, REGISTRY_FILE)
    return None if content is None else parse_registry(content, f"{REGISTRY_FILE} at {commit[:12]}")


def parse_registry(content: bytes, where: object) -> Registry:
    """Parse and check a registry.

    Args:
        content: The file's bytes.
        where: Path of the file, for messages.

    Returns:
        The checked content.

    Raises:
        DataReleaseError: E120, it is no plain YAML.
        InvalidRegistryError: E121 to E127, with all faults.
    """
    raw, places = parse_strict_yaml(content, where, code="E120")
    found: dict[JsonPath, dict[str, Any]] = dict(_credentials(raw, ()))
    secret = tuple(found)
    registry = None
    try:
        registry = Registry.model_validate(raw)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            path = tuple(part for part in fault["loc"] if part != "[key]")
            # Nothing more is said about a secret: the message would show it.
            if not any(path[: len(other)] == other or other[: len(path)] == path for other in secret):
                found.setdefault(path, _field_fault(path, fault))
    for path, row in _shared_names(registry):
        found.setdefault(path, row)
    if registry is not None and not found:
        return registry
    placed = sorted(((locate(path, places), path, row) for path, row in found.items()), key=lambda hit: hit[0])
    raise InvalidRegistryError(
        tuple(Problem(where=str(where), json_path=path_text(path), position=place, **row) for place, path, row in placed), where
    )


def _credentials(raw: Any, path: JsonPath) -> Iterator[tuple[JsonPath, dict[str, Any]]]:
    members: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(raw, dict):
        members = iter(raw.items())
    elif isinstance(raw, list):
        members = iter(enumerate(raw))
    for key, value in members:
        # Tasks and profiles may be called anything.
        is_identifier = path in {("tasks",), ("storage",)} or key in StorageProfile.model_fields
        by_key = isinstance(key, str) and not is_identifier and _CREDENTIAL_KEY.search(key)
        if by_key or (isinstance(value, str) and _CREDENTIAL_VALUE.search(value)):
            yield (
                (*path, key),
                {
                    "code": "E125",
                    "what": "a credential in a file that everybody reads",
                    "expected": "no credentials",
                    "got": f"the key {key!r}" if by_key else "a URL with a user or a signature",
                    "remedy": "revoke it, as git keeps it for ever; credentials belong into the environment",
                },
            )
        else:
            yield from _credentials(value, (*path, key))


def _field_fault(path: JsonPath, fault: Any) -> dict[str, Any]:
    model, rule = _rule_of(path)
    if fault["type"] == "extra_forbidden":
        remedy = f"{nearest(str(path[-1]), model.model_fields)} Keys of your own begin with x_"
        return _row("E126", f"unknown key {path[-1]!r}", "a key of the schema", shorten(path[-1]), remedy)
    missing = fault["type"] == "missing"
    what = str(fault.get("ctx", {}).get("error") or fault["msg"])
    got = NO_SUCH_KEY if missing else shorten(fault["input"])
    return _row(rule.code, what.lower() if missing else what, rule.expected, got, rule.remedy)


def _row(code: str, what: str, expected: str, got: str, remedy: str) -> dict[str, Any]:
    return {"code": code, "what": what, "expected": expected, "got": got, "remedy": remedy}


def _rule_of(path: JsonPath) -> tuple[type[BaseModel], FieldRule]:
    """Follow a path through the models: the last one on it, and the rule of the last field on it."""
    model: type[BaseModel] = Registry
    rule = FieldRule("E121", "a mapping", "begin with schema_version: 1")
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # a task's or a profile's identifier, or an unknown key
        rule = next((item for item in field.metadata if isinstance(item, FieldRule)), rule)
        model = next(_models_in(field.annotation), model)
    return model, rule


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _shared_names(registry: Registry | None) -> Iterator[tuple[JsonPath, dict[str, Any]]]:
    """Two tasks never share a branch or a display name: their releases could not be told apart."""
    tasks: Mapping[str, TaskEntry] = registry.tasks if registry else MappingProxyType({})
    for name in ("branch", "display_name"):
        first: dict[str, str] = {}
        for task, entry in tasks.items():
            value = getattr(entry, name)
            other = first.setdefault(value.casefold(), task)
            if other != task:
                what = f"the {name} of task {other!r} too"
                yield ("tasks", task, name), _row("E127", what, "a name of its own", repr(value), "rename one of the two")
