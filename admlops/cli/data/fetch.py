"""``admlops data fetch``: bring a release's objects onto this machine."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.option("--tasks", default="", metavar="A,B", help="only the entries that serve these")
@click.option("--images", is_flag=True, help="also the images, sweeps and files of labels that the records name")
@click.argument("ref")
def command(repo: str, ref: str, tasks: str, images: bool) -> Outcome:
    """Bring the index files of REF (a tag, commit or branch) into the cache, ahead of training."""
    from admlops.data_release.repository.fetch import fetch

    return fetch(repo, ref, [task for task in tasks.split(",") if task], images=images)
