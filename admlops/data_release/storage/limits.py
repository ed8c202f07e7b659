"""How long a transfer may stall and last."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from admlops.errors import ConfigError


@dataclass(frozen=True)
class TransferLimits:
    """When a transfer is given up.

    Attributes:
        stall_s: Seconds without a byte after which a request is given up and sent again.
        deadline_s: Seconds that an object may take in all, waiting for another process's download included.
        attempts: Requests in a row that bring nothing before the transfer fails.
        backoff_s: Pause after the first of them; each further one doubles it.
    """

    stall_s: float = 60.0
    deadline_s: float = 3600.0
    attempts: int = 5
    backoff_s: float = 0.5

    @classmethod
    def from_environment(cls) -> TransferLimits:
        """Take ``$ADMLOPS_STALL_S`` and ``$ADMLOPS_DEADLINE_S`` where they are set.

        Returns:
            The limits.
        """
        return cls(stall_s=_seconds("ADMLOPS_STALL_S", cls.stall_s), deadline_s=_seconds("ADMLOPS_DEADLINE_S", cls.deadline_s))

    def deadline(self) -> float:
        """Say when a transfer that begins now must be over.

        Returns:
            Time of the monotonic clock.
        """
        return time.monotonic() + self.deadline_s


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ConfigError(f"{name} is no time", expected="seconds, such as 60", got=text)
    return seconds
