"""Which releases a repository has, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from admlops.data_release import names
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.branches import BranchInfo, list_branches
from admlops.data_release.repository.tag_info import TagInfo, read_tags
from admlops.data_release.sample_counts import EntryCount, Total, add_up
from admlops.data_release.schema import DATASET_FILE, TrainingDataset
from admlops.data_release.strict_json import parse_strict
from admlops.data_release.text_table import text_table
from admlops.errors import DataReleaseError


@dataclass(frozen=True)
class ListedRelease:
    """A tag and what it released.

    Attributes:
        tag: Who made it, when, of which commit.
        task: Its task; None for a topic's tag.
        release_name: ``meta.release_name``; None where the commit has no readable dataset file.
        effective: Samples that an epoch draws, from the pinned counts; None where the file cannot be read.
    """

    tag: TagInfo
    task: str | None
    release_name: str | None
    effective: Total | None

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        effective = self.effective.to_json() if self.effective else None
        return {**self.tag.to_json(), "task": self.task, "release_name": self.release_name, "samples": effective}


@dataclass(frozen=True)
class ListOutcome:
    """What a repository has.

    Attributes:
        releases: Newest first.
        branches: None where nobody asked.
    """

    releases: tuple[ListedRelease, ...]
    branches: tuple[BranchInfo, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        found: dict[str, Any] = {"releases": [release.to_json() for release in self.releases]}
        if self.branches is not None:
            found["branches"] = [branch.to_json() for branch in self.branches]
        return found

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        text = "no releases yet: `admlops data tag TASK/v1.0.0`"
        if self.releases:
            rows = [
                (r.tag.name, r.tag.date[:10], r.tag.commit[:12], r.release_name or "unreadable", _samples(r), r.tag.tagger)
                for r in self.releases
            ]
            text = text_table(("tag", "date", "commit", "release", "effective samples", "tagger"), rows)
        if self.branches is None:
            return text
        found = [(b.name, b.date[:10], b.commit[:12], "here" if b.here else "remote", b.subject) for b in self.branches]
        return f"{text}\n\n{text_table(('branch', 'date', 'commit', 'place', 'newest commit'), found)}"


def list_releases(repo: str | Path, *, task: str | None = None, branches: bool = False, remote: str = "origin") -> ListOutcome:
    """List the releases of a repository.

    Args:
        repo: The repository.
        task: Only its releases, and with ``branches`` only its branches.
        branches: Whether branches are listed too.
        remote: Whose branches are listed beside the ones here.

    Returns:
        Releases and branches, newest first.
    """
    repository = GitRepository.open(repo)
    releases = []
    for tag in read_tags(repository):
        parts = names.split_tag(tag.name)
        if parts is not None and task in (None, parts.task):
            dataset = _dataset(repository, tag.commit)
            name = dataset.meta.release_name if dataset else None
            releases.append(ListedRelease(tag, parts.task, name, _effective(dataset) if dataset else None))
    if not branches:
        return ListOutcome(tuple(releases))
    found = [b for b in list_branches(repository, remote) if task is None or task in b.name.split("/")]
    return ListOutcome(tuple(releases), tuple(found))


def _dataset(repository: GitRepository, commit: str) -> TrainingDataset | None:
    content = repository.read(commit, DATASET_FILE)
    try:
        return None if content is None else TrainingDataset.model_validate(parse_strict(content, DATASET_FILE))
    except (DataReleaseError, ValidationError):
        return None  # Old tags may hold anything; they are listed all the same.


def _effective(dataset: TrainingDataset) -> Total:
    pinned = {entry.name: (entry.integrity, entry.duplicate) for entry in dataset.dataset_index}
    return add_up({name: EntryCount(pin.num_samples if pin else None, times) for name, (pin, times) in pinned.items()})


def _samples(release: ListedRelease) -> str:
    return str(release.effective) if release.effective else "?"
