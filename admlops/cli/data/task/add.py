"""``admlops data task add``: register a task, open its branch."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.argument("task", metavar="ID")
@click.option("--display-name", help="what its releases are called; not for a registered task")
@click.option("--allowed-tags", multiple=True, metavar="TASK", help="entries serve at least one of these; may be repeated")
@click.option("--description", default="", help="for people")
@click.option("--from", "base", metavar="REF", help="where its branch begins  [default: the trunk]")
@click.option("--remote", default="origin", show_default=True, help="whose branches are followed where they are not here")
def command(
    repo: str,
    task: str,
    display_name: str | None,
    allowed_tags: tuple[str, ...],
    description: str,
    base: str | None,
    remote: str,
) -> Outcome:
    """Register the task ID in data_release.yaml and open the branch master/ID."""
    from admlops.data_release.repository.task_add import task_add

    return task_add(
        repo, task, display_name=display_name, allowed_tags=allowed_tags, description=description, base=base, remote=remote
    )
