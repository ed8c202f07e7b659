"""``admlops data init``: make a repository, or an existing one, ready for data releases."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.option(
    "--task", "tasks", multiple=True, metavar="ID[=NAME]", help="register a task; NAME is what its releases are called"
)
@click.option(
    "--migrate", is_flag=True, help="rename a trunk called master to main: master and master/<task> exclude each other"
)
def command(repo: str, tasks: tuple[str, ...], migrate: bool) -> Outcome:
    """Write data_release.yaml, a dataset file to begin with, and hooks; nothing is committed."""
    from admlops.data_release.repository.init import init

    return init(repo, tasks=tasks, migrate=migrate)
