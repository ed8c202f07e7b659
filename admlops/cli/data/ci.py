"""``admlops data ci``: write the hooks and CI snippets that keep the rules."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.option("--overwrite", is_flag=True, help="replace files that have other content")
def command(repo: str, overwrite: bool) -> Outcome:
    """Write git hooks, GitHub and GitLab snippets, and a pre-receive sample for the server."""
    from admlops.data_release.repository.ci import write_ci

    return write_ci(repo, overwrite=overwrite)
