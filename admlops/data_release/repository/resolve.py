"""What a ref of a data release repository stands for."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.schema import DATASET_FILE
from admlops.errors import DataReleaseError


@dataclass(frozen=True)
class Resolution:
    """A ref, pinned.

    Attributes:
        ref: As it was given.
        commit: Full sha.
        file_sha256: Hash of the commit's ``training_dataset.json``.
    """

    ref: str
    commit: str
    file_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        return f"{self.ref}\n  commit  {self.commit}\n  sha256  {self.file_sha256}  {DATASET_FILE}"


def resolve(repo: str | Path, ref: str) -> Resolution:
    """Find what a ref stands for.

    Args:
        repo: The repository.
        ref: Tag, commit or branch.

    Returns:
        Its commit and the hash of the dataset file there.

    Raises:
        DataReleaseError: No such repository, ref (E207) or file (E201).
    """
    repository = GitRepository.open(repo)
    commit = repository.resolve(ref)
    content = repository.read(commit, DATASET_FILE)
    if content is None:
        raise DataReleaseError(f"there is no {DATASET_FILE}", where=f"{repository.path} at {ref} ({commit[:12]})", code="E201")
    return Resolution(ref, commit, hashlib.sha256(content).hexdigest())
