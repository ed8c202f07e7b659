"""``admlops data rollback``: the data of an older tag, as a new commit."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.argument("tag")
@click.option("--branch", required=True, help="where, such as master/multi_task")
@click.option("--message", default="", help="why; stands in the commit")
@click.option("--remote", default="origin", show_default=True, help="whose branch is followed where it is not here")
def command(repo: str, tag: str, branch: str, message: str, remote: str) -> Outcome:
    """Commit the data of TAG on top of a branch; history is never rewritten."""
    from admlops.data_release.repository.rollback import rollback

    return rollback(repo, tag, branch=branch, message=message, remote=remote)
