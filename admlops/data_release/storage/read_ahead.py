"""Objects that will be asked for soon, fetched by threads meanwhile."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable

from admlops.data_release.storage.remote_path import DataPath, RemotePath
from admlops.errors import AdmlopsError

_NUM_THREADS = 16
_MAX_WAITING = 1024


class ReadAhead:
    """Threads of this process that bring objects into the cache of images; started by the first request, again after a fork.

    Failures are left to the one who reads the object: it meets them again.

    Args:
        paths_of: Tells which objects a request is about; called in a thread.
    """

    def __init__(self, paths_of: Callable[[int], Iterable[DataPath]]) -> None:
        self._paths_of = paths_of
        self._pid = -1

    def __getstate__(self) -> dict[str, object]:
        return {"_paths_of": self._paths_of, "_pid": -1}

    def ask(self, request: int) -> None:
        """Fetch soon; forgotten where too much waits already.

        Args:
            request: Handed to ``paths_of``.
        """
        if self._pid != os.getpid():
            self._requests: queue.Queue[int] = queue.Queue(_MAX_WAITING)
            self._pid = os.getpid()
            for _ in range(_NUM_THREADS):
                # Daemons: a worker that is told to end does not wait for them.
                threading.Thread(target=self._serve, args=(self._requests,), daemon=True).start()
        with contextlib.suppress(queue.Full):
            self._requests.put_nowait(request)

    def _serve(self, requests: queue.Queue[int]) -> None:
        while True:
            with contextlib.suppress(AdmlopsError, OSError):
                for path in self._paths_of(requests.get()):
                    if isinstance(path, RemotePath):
                        path.prefetch()
