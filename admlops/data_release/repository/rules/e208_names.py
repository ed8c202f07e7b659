"""E208."""

from __future__ import annotations

from collections.abc import Iterator

from admlops.data_release import names
from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.rule import Finding, rule

BRANCH_FORMS = "master/<task>, feature_dataset/[<task>/]<topic>/<method>, experiment/<topic>/<trial>, main"
TAG_FORMS = "<task>/vX.Y.Z, <task>/release-YYYYMMDD, feature_dataset/<topic>/release-YYYYMMDD"


@rule("E208")
def names_are_valid(candidate: Candidate) -> Iterator[Finding]:
    """Branches and tags have names of the agreed forms; a date in a name exists."""
    if candidate.branch is not None and not names.is_branch(candidate.branch):
        remedy = "open branches with `admlops data branch`"
        yield Finding("not a name of a branch", BRANCH_FORMS, candidate.branch, remedy)
    if candidate.tag is not None and candidate.tag_name is None:
        yield Finding("not a name of a tag", TAG_FORMS, candidate.tag, "correct the name; a date has to exist")
