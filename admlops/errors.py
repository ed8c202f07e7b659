"""One exception family: what went wrong, where, what was expected, what came, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AdmlopsError(Exception):
    """Base of every error that a user of ADMLOps can cause and mend.

    Args:
        what: One sentence that names the fault.
        where: File, line, byte, config path or record in which it was found.
        expected: What would have been valid.
        got: What was there instead.
        remedy: What to do next.
        code: Stable identifier such as ``E405``, where the fault has one.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy
        self.code = code
        super().__init__(what)

    def __reduce__(self) -> tuple[object, ...]:
        # DataLoader workers send exceptions through pickle, which forgets keyword-only arguments.
        return (type(self).__new__, (type(self), self.what), self.__dict__)

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.what}" if self.code else self.what]
        rows = (
            ("where", self.where),
            ("expected", self.expected),
            ("got", self.got),
            ("try", self.remedy),
        )
        lines += [f"  {name + ':':<10}{value}" for name, value in rows if value is not None]
        return "\n".join(lines)


class ConfigError(AdmlopsError):
    """A config file, a command-line option or a combination of both cannot be used."""


class DataReleaseError(AdmlopsError):
    """A release (``training_dataset.json``, its git repository or its index files) is invalid."""


class RecordError(AdmlopsError):
    """A record of a JSONL index, or a file that it names, is invalid or missing."""


class ConversionError(AdmlopsError):
    """A source data set in its original format is missing, truncated or malformed."""


class ModelError(AdmlopsError):
    """A network cannot be built or used as its config asks."""


class QuantizationError(AdmlopsError):
    """A network cannot be quantized, or its integers cannot be computed or exported as asked."""


class ExportError(AdmlopsError):
    """A network cannot be exported, or an exported file cannot be run."""


class CheckpointError(AdmlopsError):
    """A checkpoint cannot be read, is unsafe, or does not fit the network."""


class MachineError(AdmlopsError):
    """This machine lacks something that was asked for (a GPU, a compiler, disk space)."""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Suggest the candidate that a misspelled name most likely meant.

    Args:
        name: What was given.
        candidates: What would have been valid.

    Returns:
        A remedy sentence: the nearest candidate, or all of them where none is near and they are few.
    """
    names = sorted(set(candidates))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not 0 < len(names) <= 40:
        return f"none of the {len(names)} valid names is like it"
    return f"use one of {', '.join(names)}"
