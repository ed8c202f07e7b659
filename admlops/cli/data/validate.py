"""``admlops data validate``: everything that is wrong with a release, at once."""

from __future__ import annotations

import click

from admlops.cli.verbs import Outcome, repository_option, verb


@click.command()
@verb
@repository_option
@click.argument("ref", required=False)
@click.option("--branch", metavar="NAME", help="the branch whose rules count, where REF is a commit")
@click.option("--strict", is_flag=True, help="as before tagging: what is only warned of otherwise is an error")
@click.option(
    "--remote", is_flag=True, help="ask whether every object exists with its size, and whether the tag is the remote's"
)
@click.option("--deep", is_flag=True, help="fetch every object, hash it, read every record")
def command(repo: str, ref: str | None, branch: str | None, strict: bool, remote: bool, deep: bool) -> Outcome:
    """Check REF (a tag, commit or branch), or the files of the working tree."""
    from admlops.data_release.repository.validate import validate

    return validate(repo, ref, branch=branch, strict=strict, remote=remote, deep=deep)
