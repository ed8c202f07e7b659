"""``admlops data release``: the notes of a tag."""

from __future__ import annotations

from pathlib import Path

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.argument("tag")
@click.option("--previous", metavar="TAG", help="compare with this tag; by default the one before it in its family")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.md", help="write them here, and FILE.json beside them")
@click.option("--dataspechub", metavar="DIR", help="checkout of DataSpecHub; by default the one that data_release.yaml names")
@click.option("--samples", is_flag=True, help="compare the index files of changed entries record by record")
def command(repo: str, tag: str, previous: str | None, out: Path | None, dataspechub: str | None, samples: bool) -> Outcome:
    """Write release notes of TAG: statistics, changes since the previous tag, and where the data come from."""
    from admlops.data_release.repository.release import release

    return release(repo, tag, previous=previous, out=out, dataspechub=dataspechub, samples=samples)
