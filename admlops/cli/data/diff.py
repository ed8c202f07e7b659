"""``admlops data diff``: what changed between two releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from admlops.cli.verbs import Outcome, kind_option, repository_option, verb

if TYPE_CHECKING:
    from admlops.data_release.schema import Kind


@click.command()
@verb
@repository_option
@kind_option
@click.argument("before")
@click.argument("after")
@click.option("--samples", is_flag=True, help="compare the index files of changed entries record by record")
@click.option("--samples-file", type=click.Path(path_type=Path), metavar="FILE", help="write every sample that differs here")
def command(repo: str, before: str, after: str, samples: bool, samples_file: Path | None, kind: Kind) -> Outcome:
    """Show what changed from BEFORE to AFTER: tags, commits, branches, or WORKTREE for the files as they lie."""
    from admlops.data_release.repository.diff import diff

    return diff(repo, before, after, kind=kind, samples=samples, samples_file=samples_file)
