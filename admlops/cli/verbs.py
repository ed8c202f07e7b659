"""What all verbs share: they are found by their files, print text or JSON, and end with the same exit codes."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
import sys
from collections.abc import Callable
from typing import Any, Protocol

import click

from admlops.errors import AdmlopsError, MachineError

EXIT_OK, EXIT_INVALID, EXIT_USAGE, EXIT_IO = 0, 1, 2, 3

_IO_CODES = frozenset({"E401", "E403", "E404"})
"""Missing object, stalled transfer, full disk: what is asked for may be right all the same."""


class Outcome(Protocol):
    """What a library call behind a verb returns."""

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        ...

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        ...


class VerbGroup(click.Group):
    """A group whose verbs are the modules of a package, each with a ``command``; a sub-package is a group in it.

    Args:
        package: Its full name.
        name: Of the group.
        help: Of the group.
    """

    def __init__(self, package: str, name: str, help: str) -> None:
        super().__init__(name=name, help=help)
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the verbs.

        Args:
            ctx: Of click.

        Returns:
            Their names, sorted.
        """
        folder = list(importlib.import_module(self.package).__path__)
        return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(folder))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a verb.

        Args:
            ctx: Of click.
            cmd_name: Its name.

        Returns:
            The command; None where there is no such verb.
        """
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{self.package}.{cmd_name.replace('-', '_')}")
        if hasattr(module, "__path__"):
            return VerbGroup(module.__name__, cmd_name, help=(module.__doc__ or "").splitlines()[0])
        command: click.Command = module.command
        return command


def verb(function: Callable[..., Outcome]) -> Callable[..., None]:
    """Give a verb ``--json`` and the exit codes; put it below ``@click.command()`` and above the options.

    The function returns an ``Outcome``. One with a false ``ok`` exits with 1, else one with a false ``reachable`` with 3.

    Args:
        function: The verb.

    Returns:
        What click calls.
    """

    @click.option("--json", "as_json", is_flag=True, help="print one JSON object")
    @functools.wraps(function)
    def run(*args: Any, as_json: bool, **options: Any) -> None:
        try:
            outcome = function(*args, **options)
        except AdmlopsError as error:
            _show_error(error, as_json)
            sys.exit(EXIT_IO if isinstance(error, MachineError) or error.code in _IO_CODES else EXIT_INVALID)
        except OSError as error:
            _show_error(MachineError(f"a file cannot be read or written: {error.strerror}", where=error.filename), as_json)
            sys.exit(EXIT_IO)
        click.echo(json.dumps(outcome.to_json(), indent=2, ensure_ascii=False) if as_json else outcome.to_text())
        if not getattr(outcome, "ok", True):
            sys.exit(EXIT_INVALID)
        sys.exit(EXIT_OK if getattr(outcome, "reachable", True) else EXIT_IO)

    return run


def repository_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--repo``, the data release repository; by default the present folder.

    Args:
        function: The verb; its parameter ``repo`` is the path.

    Returns:
        The decorated verb.
    """
    option = click.option(
        "--repo", default=".", show_default="present folder", metavar="DIR", help="the data release repository"
    )
    decorated: Callable[..., Any] = option(function)
    return decorated


def kind_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--kind``, which of the two dataset files it reads; the other is not opened.

    Args:
        function: The verb; its parameter ``kind`` is ``regular`` or ``dagger``.

    Returns:
        The decorated verb.
    """
    kinds = click.Choice(["regular", "dagger"])
    option = click.option("--kind", type=kinds, default="regular", show_default=True, help="which dataset file to read")
    decorated: Callable[..., Any] = option(function)
    return decorated


def _show_error(error: AdmlopsError, as_json: bool) -> None:
    if as_json:
        fields = {
            "code": error.code,
            "what": error.what,
            "where": None if error.where is None else str(error.where),
            "expected": None if error.expected is None else str(error.expected),
            "got": None if error.got is None else str(error.got),
            "remedy": error.remedy,
        }
        click.echo(json.dumps({"error": fields}, indent=2, ensure_ascii=False))
    else:
        click.echo(str(error), err=True)
