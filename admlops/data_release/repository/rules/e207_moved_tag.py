"""E207."""

from __future__ import annotations

from collections.abc import Iterator

from admlops.data_release.git_repository import SEEN_TAGS
from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.remote import Remote
from admlops.data_release.repository.rule import Finding, rule


@rule("E207")
def tag_never_moves(candidate: Candidate) -> Iterator[Finding]:
    """A tag is the same object as when it was first read here, and as at the remote."""
    own = candidate.tag_object
    seen = candidate.refs.get(f"{SEEN_TAGS}{candidate.tag}")
    if own and seen and own != seen:
        what = f"{candidate.tag} was moved or made again since it was first read here"
        remedy = f"ask who moved it; `git update-ref -d {SEEN_TAGS}{candidate.tag}` accepts the new one"
        yield Finding(what, f"object {seen[:12]}", f"object {own[:12]}", remedy)
    if candidate.remote is None or candidate.tag is None:
        return
    ref = f"refs/tags/{candidate.tag}"
    there = Remote.named(candidate.repository, candidate.remote).refs(ref).get(ref)
    if there is not None and own is None:
        remedy = "`git fetch --tags`, then use the next version"
        yield Finding(f"{candidate.remote} has {candidate.tag} already", "no such tag there", f"object {there[:12]}", remedy)
    elif there is not None and there != own:
        remedy = "ask who made the other; then delete the one here and `git fetch --tags`"
        what = f"{candidate.tag} is another object at {candidate.remote}"
        yield Finding(what, f"object {(own or '')[:12]}", f"object {there[:12]}", remedy)
    elif there is None and own is not None:
        what = f"{candidate.remote} has no {candidate.tag}"
        yield Finding(what, f"object {own[:12]}", "no such tag", "push it, or find out who deleted it", severity="warning")
