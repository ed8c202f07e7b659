"""Bring chosen entries from one task branch to another, as one checked commit."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from admlops.data_release.dataset_file import read_dataset_file
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.commit_on_branch import commit_on_branch
from admlops.data_release.repository.edit_dataset import with_changes
from admlops.data_release.repository.history import find_branch, tree_with
from admlops.data_release.schema import DATASET_FILE
from admlops.errors import DataReleaseError, nearest


@dataclass(frozen=True)
class SyncOutcome:
    """Entries that were brought.

    Attributes:
        source: Where they come from.
        branch: Where they are now.
        commit: The new commit; None where all of them were there already.
        added: Names of new entries.
        replaced: Names of entries that were there with another content.
        present: Names of entries that were there as they are.
        adjusted: What else changed so that they fit, in words.
    """

    source: str
    branch: str
    commit: str | None
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    present: tuple[str, ...]
    adjusted: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        head = f"{self.source} -> {self.branch}  " + (self.commit[:12] if self.commit else "nothing to do")
        rows = [("added", self.added), ("replaced", self.replaced), ("present", self.present), ("adjusted", self.adjusted)]
        return "\n".join([head, *(f"  {label:8}  {value}" for label, values in rows for value in values)])


def sync(
    repo: str | Path,
    source: str,
    target: str,
    *,
    entries: Sequence[str] = (),
    task_tag: str | None = None,
    replace: bool = False,
    remote: str = "origin",
) -> SyncOutcome:
    """Commit entries of another branch on top of a branch.

    What an entry inherited from its release (bundles, tasks) is written into it, and what the target does not declare yet is
    added to its ``meta``. Index files that lie in the repository come along.

    Args:
        repo: The repository.
        source: Branch or tag that has the entries.
        target: Branch that gets them.
        entries: Names of entries.
        task_tag: All entries that serve this task, beside the named ones.
        replace: Whether an entry of the same name and another content is replaced; else that is refused.
        remote: Whose branch is followed where it does not exist here.

    Returns:
        The commit and what changed.

    Raises:
        DataReleaseError: No such branch or entry; E111, a name is taken by another entry; E103, another consumer; an index file
            would overwrite another; or the result breaks a rule of the target, such as E204.
    """
    repository = GitRepository.open(repo)
    branch = find_branch(repository, target, remote)
    origin = repository.resolve(source) if source.startswith("refs/") else _commit_of(repository, source, remote)
    giver, taker = (_Release.read(repository, commit, name) for commit, name in ((origin, source), (branch.commit, target)))
    chosen = giver.choose(entries, task_tag)
    taker.refuse_other_consumer(giver)
    for entry in chosen:
        taker.take(giver.with_inherited(entry, taker), replace=replace)
    for entry in chosen:
        taker.take_file(repository, giver, entry)
    commit = None
    if taker.added or taker.replaced:
        named = [*taker.added, *taker.replaced]
        commit = commit_on_branch(
            repository,
            branch,
            tree_with(repository, branch.commit, taker.files | {DATASET_FILE: taker.dump()}),
            kind="add" if taker.added else "modify(clean)",
            description=f"bring {named[0] if len(named) == 1 else f'{len(named)} entries'} from {source}",
            details={"from": source, "commit": origin, "entries": named, "adjusted": taker.adjusted},
        )
    return SyncOutcome(
        source, target, commit, tuple(taker.added), tuple(taker.replaced), tuple(taker.present), tuple(taker.adjusted)
    )


def _commit_of(repository: GitRepository, source: str, remote: str) -> str:
    try:
        return find_branch(repository, source, remote).commit
    except DataReleaseError as error:
        if error.code != "E207":
            raise
        return repository.resolve(source)


@dataclass
class _Release:
    """A dataset file as JSON values, changed in place; keys that nobody reads survive."""

    where: str
    commit: str
    content: bytes
    raw: dict[str, Any]
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    adjusted: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, repository: GitRepository, commit: str, name: str) -> _Release:
        where = f"{DATASET_FILE} at {name} ({commit[:12]})"
        content = repository.read(commit, DATASET_FILE)
        if content is None:
            raise DataReleaseError(f"there is no {DATASET_FILE}", where=f"{repository.path} at {name}", code="E201")
        read_dataset_file(content, where)
        return cls(where, commit, content, json.loads(content))

    @property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = self.raw["meta"]
        return meta

    @property
    def entries(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.raw["dataset_index"]
        return entries

    @property
    def bundles(self) -> list[str]:
        return list(self.meta["bundle_versions"] if "bundle_versions" in self.meta else [self.meta["bundle_version"]])

    def choose(self, names: Sequence[str], task_tag: str | None) -> list[dict[str, Any]]:
        known = {entry["name"]: entry for entry in self.entries}
        for name in names:
            if name not in known:
                remedy = nearest(name, known)
                raise DataReleaseError(f"there is no entry {name!r}", where=self.where, got=repr(name), remedy=remedy)
        tagged = {n for n, entry in known.items() if task_tag in (entry.get("task_tags") or self.meta.get("tasks") or ())}
        chosen = [entry for name, entry in known.items() if name in names or (task_tag is not None and name in tagged)]
        if not chosen:
            what = f"no entry serves {task_tag}" if task_tag else "no entry was named"
            raise DataReleaseError(what, where=self.where, expected="--entry NAME or --task-tag TASK", remedy="name some")
        return chosen

    def refuse_other_consumer(self, giver: _Release) -> None:
        ours, theirs = self.meta.get("consumer"), giver.meta.get("consumer")
        if ours and theirs and ours != theirs:
            raise DataReleaseError(
                "the two releases are made for different consumers, so their bundles mean different things",
                where=self.where,
                expected=ours,
                got=f"{theirs} in {giver.where}",
                remedy="bring entries only between releases of one consumer",
                code="E103",
            )

    def with_inherited(self, entry: dict[str, Any], taker: _Release) -> dict[str, Any]:
        """Write into an entry what it inherits here and would inherit differently there."""
        whole = dict(entry)
        if not entry.get("bundle_versions") and self.bundles != taker.bundles:
            whole["bundle_versions"] = self.bundles
        if entry.get("task_tags") is None and self.meta.get("tasks") not in (None, taker.meta.get("tasks")):
            whole["task_tags"] = list(self.meta["tasks"])
        return whole

    def take(self, entry: dict[str, Any], *, replace: bool) -> None:
        name = entry["name"]
        place = next((i for i, other in enumerate(self.entries) if _folded(other["name"]) == _folded(name)), None)
        if place is None:
            self._declare(entry)
            self.entries.append(entry)
            self.added.append(name)
        elif self.entries[place] == entry:
            self.present.append(name)
        elif replace:
            self._declare(entry)
            self.entries[place] = entry
            self.replaced.append(name)
        else:
            differing = sorted(k for k in entry.keys() | self.entries[place] if entry.get(k) != self.entries[place].get(k))
            raise DataReleaseError(
                f"{self.entries[place]['name']!r} is there already, with another {', '.join(differing)}",
                where=self.where,
                expected="a new name, or an equal entry",
                got=repr(entry.get(differing[0])),
                remedy="--replace takes the new one; or rename one of the two on a feature branch",
                code="E111",
            )

    def _declare(self, entry: dict[str, Any]) -> None:
        foreign = [bundle for bundle in entry.get("bundle_versions") or () if bundle not in self.bundles]
        if foreign:
            own = self.bundles
            for other in self.entries:
                # With a second bundle in the release, every entry must say its own.
                if not other.get("bundle_versions"):
                    other["bundle_versions"] = list(own)
            if "bundle_version" in self.meta:
                self.raw["meta"] = {
                    ("bundle_versions" if key == "bundle_version" else key): value for key, value in self.meta.items()
                }
            self.meta["bundle_versions"] = [*own, *foreign]
            self.adjusted.append(f"meta.bundle_versions has {', '.join(foreign)} now")
        if self.meta.get("tasks") is not None:
            new = [task for task in entry.get("task_tags") or () if task not in self.meta["tasks"]]
            if new:
                self.meta["tasks"] = [*self.meta["tasks"], *new]
                self.adjusted.append(f"meta.tasks has {', '.join(new)} now")

    def take_file(self, repository: GitRepository, giver: _Release, entry: dict[str, Any]) -> None:
        path = entry["obs_path"]
        theirs = repository.blob(giver.commit, path) if path and "://" not in path and not path.startswith("/") else None
        ours = repository.blob(self.commit, path) if theirs else None
        if theirs is None or ours == theirs:
            return
        if ours is not None and entry["name"] not in self.replaced:
            raise DataReleaseError(
                f"{path} is another file there", where=self.where, got=f"entry {entry['name']}", remedy="rename one of the two"
            )
        self.files[path] = repository.read(giver.commit, path) or b""
        self.adjusted.append(f"{path} came along")

    def dump(self) -> bytes:
        return with_changes(self.content, self.raw)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
