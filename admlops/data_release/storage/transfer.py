"""A whole object through as many requests as it takes: resumed where it broke off, given up when nothing comes any more."""

from __future__ import annotations

import re
import time
from email.message import Message
from typing import Protocol

from admlops.data_release.storage.http_transport import Response, TransientError, request
from admlops.data_release.storage.limits import TransferLimits
from admlops.data_release.storage.object_store import ObjectInfo, ObjectStore
from admlops.errors import DataReleaseError

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_MAX_PAUSE_S = 30.0


class Sink(Protocol):
    """Where the bytes of an object go.

    Attributes:
        size: Bytes that it holds.
        etag: Of the object that they are from; None where that is not known.
    """

    size: int
    etag: str | None

    def begin(self, info: ObjectInfo) -> None:
        """Learn what the bytes that follow are from; may refuse them by raising."""
        ...

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        ...

    def restart(self) -> None:
        """Forget all bytes."""
        ...


class RemoteObject:
    """An object in a store.

    Args:
        url: Of it, as people write it.
        store: That holds it.
        limits: When to give up.
        version_id: Of the version to read; None for the present one.
    """

    def __init__(self, url: str, store: ObjectStore, limits: TransferLimits, version_id: str | None = None) -> None:
        self.url = url
        self._store, self._limits, self._version_id = store, limits, version_id

    def stat(self) -> ObjectInfo:
        """Ask for size and version.

        Returns:
            What the store says.

        Raises:
            DataReleaseError: E401, there is no such object or access is refused; E403, no answer.
        """
        return self._persist(self._stat_once, None, self._limits.deadline())

    def download(self, sink: Sink, deadline: float) -> ObjectInfo:
        """Read it to its end. What the sink holds already is not asked for again.

        Args:
            sink: Takes the bytes.
            deadline: Time of the monotonic clock after which to give up.

        Returns:
            What the store says of it.

        Raises:
            DataReleaseError: E401, there is no such object or access is refused; E403, it stalls; E406, its end never comes.
        """
        return self._persist(lambda until: self._read_once(sink, until), sink, deadline)

    def _persist(self, attempt: _Attempt, sink: Sink | None, deadline: float) -> ObjectInfo:
        best = sink.size if sink is not None else 0
        idle = 0
        while True:
            try:
                return attempt(deadline)
            except TransientError as fault:
                size = sink.size if sink is not None else 0
                # Only bytes beyond any earlier attempt count: a server that ignores Range begins anew each time.
                idle = 0 if size > best else idle + 1
                best = max(best, size)
                remaining_s = deadline - time.monotonic()
                if idle >= self._limits.attempts or remaining_s <= 0:
                    raise self._given_up(fault, best, remaining_s <= 0) from fault
                time.sleep(max(0.0, min(self._limits.backoff_s * 2**idle, _MAX_PAUSE_S, remaining_s)) if idle else 0.0)

    def _stat_once(self, deadline: float) -> ObjectInfo:
        response = self._ask("HEAD", {}, deadline)
        if response.status != 200:
            # The answer to HEAD has no body that would say why; some servers also know GET only.
            response.close()
            response = self._ask("GET", {}, deadline)
        try:
            self._refuse(response)
            return _info(response.headers)
        finally:
            response.close()

    def _read_once(self, sink: Sink, deadline: float) -> ObjectInfo:
        offset, etag = sink.size, sink.etag
        headers = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if etag is not None and etag.startswith('"'):
                headers["If-Match"] = etag
        response = self._ask("GET", headers, deadline)
        try:
            if response.status in {412, 416} and offset:
                sink.restart()
                raise TransientError("E406", "the object changed since the first part of it was read")
            self._refuse(response)
            info = _info(response.headers)
            if offset and (response.status != 206 or info.etag != etag or _start(response.headers) != offset):
                sink.restart()
                if response.status == 206:
                    raise TransientError("E406", "the object changed since the first part of it was read")
            sink.begin(info)
            while chunk := response.read():
                sink.write(chunk)
        finally:
            response.close()
        if info.size is not None and sink.size < info.size:
            raise TransientError("E406", f"the connection ended after {sink.size} of {info.size} bytes")
        return info

    def _ask(self, method: str, headers: dict[str, str], deadline: float) -> Response:
        signed = self._store.sign(method, self.url, self._version_id)
        return request(method, signed, headers, self._limits.stall_s, deadline)

    def _refuse(self, response: Response) -> None:
        status = response.status
        if status in {200, 206}:
            return
        code = response.error_code()
        if status >= 500 or status in {408, 429}:
            raise TransientError("E403", f"the store answers {status} {code}".rstrip())
        missing = {
            "NoSuchBucket": ("there is no such bucket", "correct the bucket, or the endpoint in the storage profile"),
            "NoSuchVersion": ("there is no such version of an object", "restore it, or release its present version"),
            "NoSuchKey": ("there is no such object", "correct the path, or upload the object"),
        }
        fallback = {
            401: ("access to an object is refused", "check the credentials"),
            403: ("access to an object is refused", "check the credentials, and that they may read this bucket"),
            404: ("there is no such object", "correct the path, or upload the object"),
        }
        what, remedy = missing.get(code) or fallback.get(status) or ("the store does not give an object", None)
        version = f", version {self._version_id}" if self._version_id else ""
        raise DataReleaseError(what, where=f"{self.url}{version}", got=f"{status} {code}".rstrip(), remedy=remedy, code="E401")

    def _given_up(self, fault: TransientError, size: int, too_late: bool) -> DataReleaseError:
        if too_late:
            what, remedy = (
                f"an object did not arrive in {self._limits.deadline_s:g} s",
                "raise ADMLOPS_DEADLINE_S, or try again",
            )
        elif fault.code == "E406":
            what, remedy = "an object ends too early, again and again", "check the object and its server; upload it again"
        else:
            what, remedy = "the store stalls or does not answer", "check the network and the endpoint, then try again"
        return DataReleaseError(
            what,
            where=self.url,
            got=f"{fault.what}; {size} bytes arrived",
            remedy=f"{remedy}: what arrived is kept" if size else remedy,
            code="E403" if too_late else fault.code,
        )


class _Attempt(Protocol):
    def __call__(self, deadline: float, /) -> ObjectInfo: ...


def _info(headers: Message) -> ObjectInfo:
    total = headers.get("Content-Length")
    match = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    if match is not None:
        total = match.group(2)
    return ObjectInfo(
        size=int(total) if total is not None and total.isdigit() else None,
        etag=headers.get("ETag") or headers.get("Last-Modified"),
        version_id=headers.get("x-amz-version-id") or headers.get("x-obs-version-id"),
    )


def _start(headers: Message) -> int | None:
    match = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    return int(match.group(1)) if match is not None and match.group(1) else None
