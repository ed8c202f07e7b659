"""One HTTP request: a timeout on every read, a deadline over all of them, connections kept open per thread and process."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import threading
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

_CHUNK_BYTES = 1 << 18
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ERROR_BODY_BYTES = 4096
_LOCAL = threading.local()

_Key = tuple[int, str, str]


class TransientError(Exception):
    """A request failed in a way that another one may not.

    Args:
        code: ``E403`` or ``E406``, should it be the last.
        what: The fault.
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = what


class Response:
    """The answer to a request; to be closed.

    Args:
        connection: It came through.
        response: Its headers and body.
        socket: Of the connection, for its timeouts.
        key: Under which the connection is kept once the body is read; None where it is not.
        stall_s: Seconds without a byte after which reading fails.
        deadline: Time of the monotonic clock after which reading fails.

    Attributes:
        status: Of HTTP.
        headers: Of the answer.
    """

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        socket: object,
        key: _Key | None,
        stall_s: float,
        deadline: float,
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._connection, self._response, self._socket, self._key = connection, response, socket, key
        self._stall_s, self._deadline = stall_s, deadline

    def read(self) -> bytes:
        """Read what has come in.

        Returns:
            Up to 256 KiB; nothing at the end of the body, or where the connection ended early.

        Raises:
            TransientError: Nothing came in time, or the connection broke.
        """
        if time.monotonic() >= self._deadline:
            raise TransientError("E403", "the deadline has passed")
        try:
            self._socket.settimeout(_patience(self._stall_s, self._deadline))  # type: ignore[attr-defined]
            return self._response.read1(_CHUNK_BYTES)
        except TimeoutError as error:
            raise TransientError("E403", f"no byte came for {self._stall_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise TransientError("E406", f"the connection broke: {error or type(error).__name__}") from error

    def error_code(self) -> str:
        """Read the code of an object store's error message.

        Returns:
            Such as ``NoSuchKey``; empty where there is none.
        """
        try:
            match = re.search(rb"<Code>(\w+)</Code>", self.read()[:_ERROR_BODY_BYTES])
        except TransientError:
            return ""
        return match.group(1).decode("ascii") if match else ""

    def close(self) -> None:
        """Keep the connection for the next request where the body was read to its end."""
        if self._response.length == 0:
            self._response.read()
        if self._key is not None and self._response.isclosed() and self._connection.sock is not None:
            _kept()[self._key] = self._connection
        else:
            self._response.close()
            self._connection.close()


def request(method: str, url: str, headers: Mapping[str, str], stall_s: float, deadline: float) -> Response:
    """Send a request and wait for the headers of its answer; redirections are followed.

    Args:
        method: ``GET`` or ``HEAD``.
        url: ``http://`` or ``https://``.
        headers: Of the request.
        stall_s: Seconds without a byte after which it fails.
        deadline: Time of the monotonic clock after which it fails.

    Returns:
        The answer.

    Raises:
        TransientError: No connection, no answer, or too many redirections.
    """
    for _ in range(_MAX_REDIRECTS + 1):
        response = _send(method, url, headers, stall_s, deadline)
        target = response.headers.get("Location")
        if response.status not in _REDIRECTS or not target:
            return response
        response.close()
        url = urljoin(url, target)
    raise TransientError("E403", f"more than {_MAX_REDIRECTS} redirections")


def _send(method: str, url: str, headers: Mapping[str, str], stall_s: float, deadline: float) -> Response:
    if time.monotonic() >= deadline:
        raise TransientError("E403", "the deadline has passed")
    parts = urlsplit(url)
    key = (os.getpid(), parts.scheme, parts.netloc)
    kept = _kept().pop(key, None)
    if kept is not None:
        # The server may have closed it meanwhile: then a fresh one, at once.
        try:
            return _ask(kept, key, method, parts, headers, stall_s, deadline)
        except TimeoutError as error:
            raise TransientError("E403", f"no answer for {stall_s:g} s") from error
        except (OSError, http.client.HTTPException):
            kept.close()
    connection, proxied = _connect(parts, _patience(stall_s, deadline))
    try:
        return _ask(connection, key, method, parts, headers, stall_s, deadline, proxied)
    except TimeoutError as error:
        connection.close()
        raise TransientError("E403", f"no answer for {stall_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise TransientError("E403", f"no answer: {error or type(error).__name__}") from error


def _ask(
    connection: http.client.HTTPConnection,
    key: _Key,
    method: str,
    parts: SplitResult,
    headers: Mapping[str, str],
    stall_s: float,
    deadline: float,
    proxied: bool = False,
) -> Response:
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (f"?{parts.query}" if parts.query else "")
    if connection.sock is not None:
        connection.sock.settimeout(_patience(stall_s, deadline))
    connection.request(
        method,
        f"{parts.scheme}://{parts.netloc}{target}" if proxied else target,
        headers={"Accept-Encoding": "identity", "User-Agent": "admlops", **headers},
    )
    socket = connection.sock
    response = connection.getresponse()
    return Response(connection, response, socket, None if proxied else key, stall_s, deadline)


def _connect(parts: SplitResult, timeout_s: float) -> tuple[http.client.HTTPConnection, bool]:
    secure = parts.scheme == "https"
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    address = urlsplit(proxy if proxy is None or "://" in proxy else f"http://{proxy}") if proxy else parts
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    if not secure:
        return http.client.HTTPConnection(host, port, timeout=timeout_s), proxy is not None
    connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    if proxy is not None:
        connection.set_tunnel(parts.hostname or "", parts.port or 443)
    return connection, False


def _kept() -> dict[_Key, http.client.HTTPConnection]:
    # Keyed by process too: what fork hands down belongs to the parent.
    connections: dict[_Key, http.client.HTTPConnection] = _LOCAL.__dict__.setdefault("connections", {})
    return connections


def _patience(stall_s: float, deadline: float) -> float:
    return max(min(stall_s, deadline - time.monotonic()), 1e-3)
