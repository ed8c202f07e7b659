"""Entry of the ``admlops`` command."""

from __future__ import annotations

import click

from admlops.cli.verbs import VerbGroup


@click.group()
@click.version_option(package_name="admlops", message="admlops %(version)s")
def admlops() -> None:
    """MLOps for autonomous-driving perception: data releases, and what was made of them."""


admlops.add_command(
    VerbGroup("admlops.cli.data", name="data", help="Release data: one training job = one code commit + one data tag.")
)


def main() -> None:
    """Run the command; exit with 0 ok, 1 invalid, 2 usage, 3 input or output."""
    admlops()
