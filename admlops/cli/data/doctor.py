"""``admlops data doctor``: what is unhealthy about a repository, this clone, this machine."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.option("--remote", metavar="NAME", help="compare the tags with those of this remote")
def command(repo: str, remote: str | None) -> Outcome:
    """Find conflicts of names, moved tags, rewritten branches, missing hooks, and what this machine lacks."""
    from admlops.data_release.repository.doctor import diagnose

    return diagnose(repo, remote=remote)
