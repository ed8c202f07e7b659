"""``admlops data tag``: check a release, tag it, push tag and branch together."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.argument("name")
@click.option("--branch", help="what is tagged  [default: the task's branch]")
@click.option("--message", default="", help="what is new; stands in the annotation")
@click.option("--push/--no-push", default=True, show_default=True, help="share it, together with its branch")
@click.option("--remote", default="origin", show_default=True, help="where it is shared")
@click.option("--require-trace", is_flag=True, help="refuse where a channel or a specification is not found")
def command(repo: str, name: str, branch: str | None, message: str, push: bool, remote: str, require_trace: bool) -> Outcome:
    """Tag a release NAME: TASK/vX.Y.Z, TASK/next-minor (-major, -patch), TASK/release-YYYYMMDD."""
    from admlops.data_release.repository.tag import tag

    return tag(repo, name, branch=branch, message=message, push=push, remote=remote, require_trace=require_trace)
