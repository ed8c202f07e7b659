"""``admlops data branch feature``: open a branch to change data on."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.argument("topic")
@click.argument("method")
@click.option("--task", help="whose data; without, the branch begins at the trunk")
@click.option("--remote", default="origin", show_default=True, help="whose branches are followed where they are not here")
def command(repo: str, topic: str, method: str, task: str | None, remote: str) -> Outcome:
    """Open feature_dataset/[TASK/]TOPIC/METHOD; nothing is checked out."""
    from admlops.data_release.repository.branch import open_feature

    return open_feature(repo, topic, method, task=task, remote=remote)
