"""E201."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.rule import Finding, rule
from admlops.data_release.schema import DAGGER_FILE, DATASET_FILE


@rule("E201")
def one_dataset_file(candidate: Candidate) -> Iterator[Finding]:
    """A commit holds exactly one `training_dataset.json`, at its top; beside it at most `training_dataset.dagger.json`."""
    if candidate.content is None and candidate.holds_data:
        got = "a link or a folder" if DATASET_FILE in candidate.files else "no such file"
        yield Finding(f"no {DATASET_FILE}", "a regular file at the top", got, "add it, or check another branch")
    for path in candidate.files:
        name = PurePosixPath(path).name.casefold()
        if name.startswith("training_dataset") and name.endswith(".json") and path not in {DATASET_FILE, DAGGER_FILE}:
            remedy = "delete it: git keeps what was; another kind of training has a branch of its own"
            yield Finding("a second dataset file", f"{DATASET_FILE} alone", path, remedy)
