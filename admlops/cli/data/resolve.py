"""``admlops data resolve``: which commit, file and content a tag stands for."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.argument("ref")
def command(repo: str, ref: str) -> Outcome:
    """Show the commit and the dataset file that REF (a tag, commit or branch) stands for."""
    from admlops.data_release.repository.resolve import resolve

    return resolve(repo, ref)
