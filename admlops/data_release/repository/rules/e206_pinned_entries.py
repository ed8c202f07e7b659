"""E206."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.rule import Finding, Severity, rule


@rule("E206")
def entries_are_pinned(candidate: Candidate) -> Iterator[Finding]:
    """Every entry of a tag has data, and a hash that pins it unless the commit holds the file itself."""
    tracked = frozenset(candidate.files)
    for i, entry in enumerate(candidate.dataset.dataset_index if candidate.dataset else ()):
        if not entry.obs_path:
            what, got = f"entry {entry.name!r} has no data yet", f"status {entry.status or 'not given'}"
            severity: Severity = "error" if candidate.tag else "error in a new tag"
            path, remedy = ("dataset_index", i, "obs_path"), "fill in obs_path once it is produced, or take the entry out"
            yield Finding(what, "an obs_path", got, remedy, path=path, severity=severity)
        elif entry.integrity is None and posixpath.normpath(entry.obs_path) not in tracked:
            what, expected = f"entry {entry.name!r} is not pinned by a hash", "integrity {sha256, bytes, num_samples}"
            remedy = "run `admlops data lock` and commit"
            yield Finding(what, expected, "none", remedy, path=("dataset_index", i, "integrity"), severity="error in a new tag")
