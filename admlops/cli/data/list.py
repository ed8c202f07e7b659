"""``admlops data list``: the releases of a repository."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.option("--task", help="only its releases")
@click.option("--branches", is_flag=True, help="list branches too")
@click.option("--remote", default="origin", show_default=True, help="whose branches are listed beside the ones here")
def command(repo: str, task: str | None, branches: bool, remote: str) -> Outcome:
    """List releases, newest first, with the samples that an epoch draws."""
    from admlops.data_release.repository.list import list_releases

    return list_releases(repo, task=task, branches=branches, remote=remote)
