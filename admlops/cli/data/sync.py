"""``admlops data sync``: entries of one task branch for another."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.option("--from", "source", required=True, metavar="REF", help="branch or tag that has the entries")
@click.option("--to", "target", required=True, metavar="BRANCH", help="branch that gets them")
@click.option("--entry", "entries", multiple=True, metavar="NAME", help="an entry; may be repeated")
@click.option("--task-tag", metavar="TASK", help="all entries that serve this task")
@click.option("--replace", is_flag=True, help="replace entries of the same name and another content")
@click.option("--remote", default="origin", show_default=True, help="whose branches are followed where they are not here")
def command(
    repo: str, source: str, target: str, entries: tuple[str, ...], task_tag: str | None, replace: bool, remote: str
) -> Outcome:
    """Bring chosen entries from one task branch to another, as one commit."""
    from admlops.data_release.repository.sync import sync

    return sync(repo, source, target, entries=entries, task_tag=task_tag, replace=replace, remote=remote)
