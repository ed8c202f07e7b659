"""What branches a repository has, here and as they were last seen at its remote."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any

from admlops.data_release.git_repository import GitRepository

_FIELDS = (
    "refname",
    "objectname",
    "committerdate:unix",
    "committerdate:iso-strict",
    "authorname",
    "contents:subject",
    "symref",
)


@dataclass(frozen=True)
class BranchInfo:
    """A branch.

    Attributes:
        name: Without where it is.
        commit: Its newest one.
        here: Whether it exists here; else only at the remote.
        date: Of the newest commit, ISO 8601.
        author: Of the newest commit.
        subject: Of the newest commit.
        age_days: Since the newest commit.
    """

    name: str
    commit: str
    here: bool
    date: str
    author: str
    subject: str
    age_days: int

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)


def list_branches(repository: GitRepository, remote: str = "origin", *, merged: str | None = None) -> tuple[BranchInfo, ...]:
    """List branches.

    Args:
        repository: Where to look.
        remote: Whose branches are listed beside the ones here.
        merged: Only those whose commits a commit contains; all where None.

    Returns:
        Newest first; a branch that is here and there once, as it is here.
    """
    prefixes = ("refs/heads/", f"refs/remotes/{remote}/")
    pattern = "".join(f"%({field})%00" for field in _FIELDS)
    chosen = [f"--merged={merged}"] if merged else []
    text = repository.run("for-each-ref", "--sort=-committerdate", f"--format={pattern}", *chosen, "--", *prefixes)
    now = datetime.datetime.now(datetime.timezone.utc).timestamp()
    cells = text.split("\0")
    found: dict[str, BranchInfo] = {}
    for start in range(0, len(cells) - len(_FIELDS), len(_FIELDS)):
        ref, commit, seconds, date, author, subject, symref = cells[start : start + len(_FIELDS)]
        ref = ref.lstrip("\n")
        here = ref.startswith(prefixes[0])
        name = ref.removeprefix(prefixes[0]).removeprefix(prefixes[1])
        if symref or (name in found and not here):
            continue
        found[name] = BranchInfo(name, commit, here, date, author, subject, int((now - float(seconds)) // 86400))
    return tuple(found.values())
