"""``admlops data stats``: what a release is made of."""

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
@click.argument("ref")
@click.option("--out-dir", type=click.Path(path_type=Path), metavar="DIR", help="write plots and class counts here")
def command(repo: str, ref: str, out_dir: Path | None, kind: Kind) -> Outcome:
    """Count samples, repetitions and shares of REF (a tag, commit, branch, or WORKTREE) by entry, task and bundle."""
    if out_dir is None:
        from admlops.data_release.repository.stats import stats

        return stats(repo, ref, kind=kind)
    from admlops.analysis.release_report import report_release

    return report_release(repo, ref, out_dir, kind=kind)
