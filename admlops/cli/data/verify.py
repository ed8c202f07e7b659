"""``admlops data verify``: whether what made a checkpoint is still to be had."""

from __future__ import annotations

from pathlib import Path

import click

from admlops.cli.verbs import Outcome, verb


@click.command()
@verb
@click.option("--repo", metavar="DIR", help="the data release repository (default: where the config said)")
@click.option("--code", metavar="DIR", help="the code repository (default: the one of this package)")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(checkpoint: Path, repo: str | None, code: str | None) -> Outcome:
    """Resolve again what made CHECKPOINT (or the .lineage.json beside it): code, tag, files, parents, config.

    Exits with 0 where all matches, 1 where something differs, 3 where something cannot be checked here.
    """
    from admlops.data_release.lineage import SUFFIX
    from admlops.data_release.repository.verify import verify

    if checkpoint.name.endswith(SUFFIX):
        return verify(checkpoint, repo=repo, code=code)
    from admlops.engine.checkpoint import read_checkpoint

    content = read_checkpoint(checkpoint)
    config_text = (content.get("meta") or {}).get("cfg")
    return verify(checkpoint, inside=content.get("lineage"), config_text=config_text, repo=repo, code=code)
