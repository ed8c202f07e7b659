"""``admlops data branch stale``: branches that can go or stand in the way."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.option("--days", default=90, show_default=True, type=click.IntRange(0), help="longer than this without a commit")
@click.option("--remote", default="origin", show_default=True, help="whose branches are listed beside the ones here")
def command(repo: str, days: int, remote: str) -> Outcome:
    """List branches that are merged or without commits for long, and names that keep others from existing."""
    from admlops.data_release.repository.branch import stale_branches

    return stale_branches(repo, days=days, remote=remote)
