"""Who tagged what, and when: read from the tag objects themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from admlops.data_release.git_repository import GitRepository

# `*` asks about the object that an annotated tag names.
_FIELDS = (
    "refname", "objectname", "objecttype", "*objecttype", "*objectname", "taggername", "taggeremail:trim",
    "creatordate:iso-strict", "contents",
)  # fmt: skip


@dataclass(frozen=True)
class TagInfo:
    """A tag as git holds it.

    Attributes:
        name: Such as ``multi_task/v1.0.0``.
        sha: The tag object; of a lightweight tag the commit.
        commit: Full sha.
        tagger: Name and mail; empty for a lightweight tag, which nobody signed with a name.
        date: Of the tag, ISO 8601; of a lightweight tag the commit's.
        annotation: Its text; empty for a lightweight tag.
    """

    name: str
    sha: str
    commit: str
    tagger: str
    date: str
    annotation: str

    def credit(self) -> str:
        """Say who made it, when, and of which commit."""
        return (
            f"made by {self.tagger or 'somebody (a lightweight tag has no name)'} at {self.date}, of commit {self.commit[:12]}"
        )

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"tag": self.name, "sha": self.sha, "commit": self.commit, "tagger": self.tagger, "date": self.date}


def read_tags(repository: GitRepository, prefix: str = "refs/tags") -> tuple[TagInfo, ...]:
    """Read tags in one call of git.

    Args:
        repository: Where to look.
        prefix: A ref, or a folder of refs.

    Returns:
        Them, newest first; tags of anything but a commit are left out.
    """
    pattern = "".join(f"%({field})%00" for field in _FIELDS)
    text = repository.run("for-each-ref", "--sort=-creatordate", f"--format={pattern}", "--", prefix)
    cells = text.split("\0")
    tags = []
    for start in range(0, len(cells) - len(_FIELDS), len(_FIELDS)):
        ref, sha, kind, peeled_kind, peeled, name, mail, date, contents = cells[start : start + len(_FIELDS)]
        if "commit" not in (kind, peeled_kind):
            continue
        ref = ref.lstrip("\n").removeprefix("refs/").partition("/")[2]
        annotated = kind == "tag"
        tagger = f"{name} <{mail.strip('<>')}>" if annotated else ""
        tags.append(TagInfo(ref, sha, peeled if annotated else sha, tagger, date, contents if annotated else ""))
    return tuple(tags)
