"""Rules that look at several fields of ``training_dataset.json`` at once: one function, one code.

To add a rule, add a function with ``@rule`` here. A rule reads the raw document, so that it reports beside broken fields, and
must bear any type anywhere: ``Document`` hands out only what has the right one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from admlops.data_release.schema import FILE_OF_KIND, Integrity, Kind, ReleaseEntry, ReleaseMeta, TrainingDataset
from admlops.data_release.strict_json import JsonPath
from admlops.errors import nearest


class Finding(NamedTuple):
    """What a rule found.

    Attributes:
        path: Of the value at fault.
        what: The fault.
        expected: What would be valid.
        got: What is there.
        remedy: What to do.
    """

    path: JsonPath
    what: str
    expected: str
    got: Any
    remedy: str


@dataclass(frozen=True)
class Document:
    """A parsed file, seen through accessors that skip values of a wrong type (their field rule reports those).

    Attributes:
        raw: What the file holds.
        kind: Which of the two files it was opened as.
        registered_tasks: Tasks that the repository knows; None where it has no registry.
    """

    raw: Any
    kind: Kind
    registered_tasks: Collection[str] | None = None
    meta: dict[str, Any] = field(init=False)
    entries: tuple[tuple[int, dict[str, Any]], ...] = field(init=False)

    def __post_init__(self) -> None:
        top = self.raw if isinstance(self.raw, dict) else {}
        entries = top.get("dataset_index")
        object.__setattr__(self, "meta", _dict(top.get("meta")))
        found = enumerate(entries) if isinstance(entries, list) else ()
        object.__setattr__(self, "entries", tuple((i, entry) for i, entry in found if isinstance(entry, dict)))

    @property
    def bundle_versions(self) -> list[str]:
        """Bundles of the release, under the plural or the singular key."""
        return strings(self.meta.get("bundle_versions", [self.meta.get("bundle_version")]))


@dataclass(frozen=True)
class Rule:
    """A rule and its identifier.

    Attributes:
        code: Stable identifier.
        check: Yields what it found.
        warning: Only a warning, unless the file is about to be tagged.
    """

    code: str
    check: Callable[[Document], Iterator[Finding]]
    warning: bool = False


RULES: list[Rule] = []


def rule(code: str, *, warning: bool = False) -> Callable[[Callable[[Document], Iterator[Finding]]], Callable[..., Any]]:
    """Register a function as a rule.

    Args:
        code: Stable identifier.
        warning: Only a warning, unless the file is about to be tagged.

    Returns:
        The decorator.
    """

    def register(check: Callable[[Document], Iterator[Finding]]) -> Callable[..., Any]:
        RULES.append(Rule(code, check, warning))
        return check

    return register


def strings(value: Any) -> list[str]:
    """Keep the strings of a list; nothing where it is no list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@rule("E104")
def one_bundle_key(document: Document) -> Iterator[Finding]:
    """A file names its bundles under the plural or the singular key, never both."""
    if {"bundle_version", "bundle_versions"} <= document.meta.keys():
        what = "meta has both bundle_version and bundle_versions"
        yield Finding(("meta", "bundle_version"), what, "one of the two", "both", "delete bundle_version")


@rule("E105")
def tasks_are_registered(document: Document) -> Iterator[Finding]:
    """Tasks of a release are tasks of its repository."""
    known = document.registered_tasks
    for i, task in enumerate(strings(document.meta.get("tasks"))):
        if known is not None and task not in known:
            path = ("meta", "tasks", i)
            yield Finding(path, f"the repository has no task {task!r}", "a registered task", task, nearest(task, known))


@rule("E106")
def training_type_matches_file(document: Document) -> Iterator[Finding]:
    """DAgger data lies in its own file, and only DAgger data lies there."""
    declared = document.meta.get("training_type", "regular")
    if declared in FILE_OF_KIND and declared != document.kind:
        path = ("meta", "training_type") if "training_type" in document.meta else ("meta",)
        what = f"a {declared} release in {FILE_OF_KIND[document.kind]}"
        yield Finding(path, what, document.kind, declared, f"move it to {FILE_OF_KIND[declared]}, or correct training_type")


@rule("E111")
def entry_names_are_unique(document: Document) -> Iterator[Finding]:
    """Two entries never differ only in the case or the Unicode form of their names."""
    first: dict[str, int] = {}
    for i, entry in document.entries:
        name = entry.get("name")
        if not isinstance(name, str):
            continue
        other = first.setdefault(unicodedata.normalize("NFC", name).casefold(), i)
        if other != i:
            path = ("dataset_index", i, "name")
            yield Finding(path, f"same name as dataset_index[{other}]", "a name of its own", name, "rename one of the two")


@rule("E112")
def produced_entries_have_paths(document: Document) -> Iterator[Finding]:
    """An empty path is legal only while production is pending."""
    for i, entry in document.entries:
        if entry.get("obs_path") == "" and entry.get("status") == "produced":
            path = ("dataset_index", i, "obs_path")
            yield Finding(path, "a produced entry without a path", "a path", "''", "fill it in, or set status to pending")


@rule("E113")
def entry_bundles_are_declared(document: Document) -> Iterator[Finding]:
    """Bundles of an entry are among the release's; where the release mixes several, every entry says its own."""
    declared = document.bundle_versions
    for i, entry in document.entries:
        if "bundle_versions" not in entry and len(declared) > 1:
            what = "no bundle_versions in a release that mixes several"
            expected = f"some of {', '.join(declared)}"
            yield Finding(("dataset_index", i), what, expected, "no such key", "say which bundles the entry comes from")
        for j, bundle in enumerate(strings(entry.get("bundle_versions"))):
            if declared and bundle not in declared:
                path = ("dataset_index", i, "bundle_versions", j)
                what = f"bundle {bundle!r} is not in meta.bundle_versions"
                yield Finding(path, what, f"one of {', '.join(declared)}", bundle, "add it to meta.bundle_versions")


@rule("E115")
def task_tags_are_declared(document: Document) -> Iterator[Finding]:
    """Tags of an entry are among the release's tasks, where it lists any."""
    if "tasks" not in document.meta:
        return
    declared = strings(document.meta["tasks"])
    for i, entry in document.entries:
        for j, tag in enumerate(strings(entry.get("task_tags"))):
            if tag not in declared:
                path = ("dataset_index", i, "task_tags", j)
                what = f"task tag {tag!r} is not in meta.tasks"
                yield Finding(path, what, f"one of {', '.join(declared)}", tag, nearest(tag, declared))


@rule("E117", warning=True)
def keys_are_known(document: Document) -> Iterator[Finding]:
    """A key that nobody reads is most often a misspelled one; ``x_...`` is free for a team's own notes."""
    objects: list[tuple[JsonPath, dict[str, Any], Collection[str]]] = [
        ((), _dict(document.raw), TrainingDataset.model_fields),
        (("meta",), document.meta, (*ReleaseMeta.model_fields, "bundle_version")),
    ]
    entry_keys = frozenset(ReleaseEntry.model_fields)
    for i, entry in document.entries:
        objects.append((("dataset_index", i), entry, entry_keys))
        if "integrity" in entry:
            integrity = ("dataset_index", i, "integrity")
            objects.append((integrity, _dict(entry["integrity"]), Integrity.model_fields))
    for path, members, known in objects:
        for key in members:
            if key not in known and not key.startswith("x_"):
                remedy = f"{nearest(key, known)} Keys of your own begin with x_"
                yield Finding((*path, key), f"unknown key {key!r}", "a key of the schema", key, remedy)
