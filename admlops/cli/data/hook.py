"""``admlops data hook``: what git hooks call."""

from __future__ import annotations

import sys

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command(hidden=True)
@verb
@repository_option
@click.argument("name")
@click.argument("arguments", nargs=-1)
def command(repo: str, name: str, arguments: tuple[str, ...]) -> Outcome:
    """Judge as the git hook NAME; git calls it with the hook's ARGUMENTS and standard input."""
    from admlops.data_release.repository.hook import run_hook

    return run_hook(repo, name, arguments, "" if name == "commit-msg" else sys.stdin.read())
