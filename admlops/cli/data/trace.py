"""``admlops data trace``: where a release comes from."""

from __future__ import annotations

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
@click.option("--dataspechub", metavar="DIR", help="checkout of DataSpecHub; by default the one that data_release.yaml names")
def command(repo: str, ref: str, dataspechub: str | None, kind: Kind) -> Outcome:
    """Follow REF (a tag, commit, branch, or WORKTREE) to bundles, consumers, channels and specifications."""
    from admlops.data_release.repository.trace import trace

    return trace(repo, ref, kind=kind, dataspechub=dataspechub)
