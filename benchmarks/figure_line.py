"""The line in which a benchmark states a figure: ``what   details = 1.62   (bound at least 1.5)``.

People read it in the terminal, ``run_all.py`` reads it for its table. A bound is the largest good value where it does not say
``at least``; a figure without a bound is there for comparison.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"^(?P<what>\S.*?)(?:\s{2,}(?P<details>\S.*?))?\s+= (?P<value>-?[\d.]+)"
    r"\s+\((?:bound (?P<least>at least )?(?P<bound>[\d.]+)|no bound)\)$"
)


@dataclass(frozen=True)
class Figure:
    """A ratio or another number, with what it came from.

    Attributes:
        what: What was measured.
        details: The times or sizes behind it.
        value: The figure.
        bound: What it is held against; ``None`` for a figure that is only shown.
        at_least: Whether more is better.
    """

    what: str
    details: str
    value: float
    bound: float | None = None
    at_least: bool = False

    def __str__(self) -> str:
        bound = "no bound" if self.bound is None else f"bound {'at least ' if self.at_least else ''}{self.bound:g}"
        return f"{self.what:<58}  {self.details} = {self.number}   ({bound})"

    @property
    def number(self) -> str:
        """The value in digits that say something."""
        return f"{self.value:.3f}" if abs(self.value) < 100 else f"{self.value:.0f}"

    @property
    def verdict(self) -> str:
        """``pass``, ``FAIL``, or nothing where there is no bound."""
        if self.bound is None:
            return ""
        return "pass" if (self.value >= self.bound if self.at_least else self.value <= self.bound) else "FAIL"


def parse_figures(output: str) -> list[Figure]:
    """Find the figures in what a benchmark printed."""
    found = []
    for line in output.splitlines():
        match = _LINE.match(line)
        if match:
            bound = match["bound"] and float(match["bound"])
            found.append(Figure(match["what"], match["details"] or "", float(match["value"]), bound, bool(match["least"])))
    return found
