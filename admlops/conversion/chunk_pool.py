"""Run jobs on worker processes with a bounded queue, in memory that does not grow with their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_handles
from typing import TypeVar

import cv2

from admlops.errors import ConversionError

Job = TypeVar("Job")
Result = TypeVar("Result")

_JOBS_QUEUED_PER_WORKER = 2


def run_jobs(work: Callable[[Job], Result], jobs: Iterable[Job], num_workers: int) -> Iterator[Result]:
    """Run ``work`` on each job; the first error stops everything.

    Args:
        work: A module-level function.
        jobs: Read lazily, at most two a worker ahead.
        num_workers: Processes; 1 works in this process.

    Yields:
        Results as they come, in no fixed order.

    Raises:
        ConversionError: A worker was killed; or whatever ``work`` raised.
    """
    if num_workers <= 1:
        yield from map(work, jobs)
        return
    # Spawned, not forked: the progress bar's thread and OpenCV's pool do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker) as pool:
        pending: set[Future[Result]] = set()
        try:
            for job in jobs:
                pending.add(pool.submit(work, job))
                if len(pending) >= _JOBS_QUEUED_PER_WORKER * num_workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool:
            raise ConversionError(
                "a worker process was killed",
                expected="enough memory for all workers",
                remedy="run the same command again with fewer --workers: it continues",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    # A worker waits for jobs on a pipe that it also holds open itself: without this it outlives a killed parent for ever.
    wait_for_handles([sentinel])
    os._exit(1)
