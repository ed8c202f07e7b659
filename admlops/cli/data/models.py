"""``admlops data models``: which checkpoints were made from a tag."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, verb


@click.command()
@verb
@click.option("--work-dirs", default="work_dirs", show_default=True, metavar="DIR", help="folder that holds the runs")
@click.argument("tag")
def command(tag: str, work_dirs: str) -> Outcome:
    """List the checkpoints that were trained on TAG, from the lineage beside each."""
    from admlops.data_release.repository.models import models

    return models(tag, work_dirs)
