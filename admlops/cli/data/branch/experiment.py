"""``admlops data branch experiment``: open a branch to try something on."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.argument("task")
@click.argument("trial")
@click.option("--remote", default="origin", show_default=True, help="whose branches are followed where they are not here")
def command(repo: str, task: str, trial: str, remote: str) -> Outcome:
    """Open experiment/TASK/TRIAL; nothing is checked out."""
    from admlops.data_release.repository.branch import open_experiment

    return open_experiment(repo, task, trial, remote=remote)
