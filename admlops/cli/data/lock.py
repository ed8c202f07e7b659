"""``admlops data lock``: pin the content of the objects that a release names."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from admlops.cli.verbs import Outcome, kind_option, repository_option, verb

if TYPE_CHECKING:
    from admlops.data_release.schema import Kind


@click.command()
@verb
@repository_option
@click.option("--entry", "names", multiple=True, metavar="NAME", help="only this entry; may be given several times")
@kind_option
@click.option("--check", is_flag=True, help="only compare; exit with 1 where an object is not what its entry says")
@click.option("--deep", is_flag=True, help="check every record too, as training does when it first opens an object")
@click.option("--parallel", default=8, show_default=True, type=click.IntRange(1), help="downloads at a time")
def command(repo: str, names: tuple[str, ...], kind: Kind, check: bool, deep: bool, parallel: int) -> Outcome:
    """Download what the working tree's dataset file names, write size, number of records and hash into the file."""
    from admlops.data_release.repository.lock import lock

    progress = sys.stderr.isatty()
    return lock(repo, names, kind=kind, check=check, deep=deep, num_parallel=parallel, show_progress=progress)
