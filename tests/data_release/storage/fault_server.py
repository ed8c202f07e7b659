"""A web server that misbehaves as asked: ``/<fault>/<anything>`` serves ``body`` with that fault."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = body
        self.etag: str | None = '"v1"'
        self.latency_s = 0.0
        self.requests: list[tuple[str, str, str | None]] = []
        self.hold = threading.Event()  # a stalled request waits for it
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def gets(self) -> list[str | None]:
        return [range_ for method, _, range_ in self.requests if method == "GET"]

    def handle_error(self, request, client_address):
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultServer

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self._note()
        self._headers(200, len(self.server.body))

    def do_GET(self):
        number = self._note()
        time.sleep(self.server.latency_s)
        fault = self.path.split("/")[1]
        with contextlib.suppress(ConnectionError):
            getattr(self, f"_{fault}", self._serve)(number)

    def _note(self):
        with self.server.lock:
            self.server.requests.append((self.command, self.path, self.headers.get("Range")))
            return sum(1 for request in self.server.requests if request[:2] == (self.command, self.path))

    def _headers(self, status, length, extra=()):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        for name, value in extra:
            self.send_header(name, value)
        self.end_headers()

    def _serve(self, number, stop=None, body=None, ranges=True):
        """Send the body from where the client asks to ``stop``; what is missing then is never sent."""
        body = self.server.body if body is None else body
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if ranges else None
        start = int(match.group(1)) if match else 0
        if match and self.headers.get("If-Match", self.server.etag) != self.server.etag:
            self._headers(412, 0)
        elif match and start >= len(body):
            self._headers(416, 0, [("Content-Range", f"bytes */{len(body)}")])
        else:
            extra = [("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")] if match else []
            self._headers(206 if match else 200, len(body) - start, extra)
            self.wfile.write(body[start:stop])
            self.close_connection = stop is not None

    def _missing(self, number):
        self._headers(404, 0)

    def _forbidden(self, number):
        self._headers(403, 0)

    def _failing(self, number):
        self._headers(500, 0)

    def _hiccup(self, number):
        if number <= 2:
            self._headers(503, 0)
        else:
            self._serve(number)

    def _truncated_once(self, number):
        self._serve(number, 1000 if number == 1 else None)

    def _truncated(self, number):
        self._serve(number, 1000)

    def _pieces(self, number):
        """Break off after every kilobyte."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self._serve(number, 1000 + (int(match.group(1)) if match else 0))

    def _rude(self, number):
        """Ignore Range, break off twice."""
        self._serve(number, {1: 1000, 2: 2000}.get(number), ranges=False)

    def _stalled_once(self, number):
        if number == 1:
            self._stalled(number)
        else:
            self._serve(number)

    def _stalled(self, number):
        self._headers(200, len(self.server.body))
        self.wfile.write(self.server.body[:1000])
        self.wfile.flush()
        self.server.hold.wait(60)
        self.close_connection = True

    def _silent(self, number):
        self.server.hold.wait(60)
        self.close_connection = True

    def _dripping(self, number):
        self._headers(200, len(self.server.body))
        for byte in self.server.body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.hold.wait(0.02):
                break
        self.close_connection = True

    def _first_half(self):
        self._headers(200, len(self.server.body))
        self.wfile.write(self.server.body[: len(self.server.body) // 2])
        self.wfile.flush()
        self.server.hold.wait(60)
        self.close_connection = True

    def _resumable(self, number):
        if number == 1:
            self._first_half()
        else:
            self._serve(number)

    def _longer(self, number):
        """Promise more than there is."""
        self._headers(200, len(self.server.body) + 100)
        self.wfile.write(self.server.body)
        self.close_connection = True

    def _shorter(self, number):
        """Promise less than there is."""
        self._serve(number, body=self.server.body[:-100])

    def _lying(self, number):
        self._serve(number, body=bytes(len(self.server.body)))

    def _gone(self, number):
        """Close without an answer."""
        self.close_connection = True

    def _slow(self, number):
        time.sleep(0.5)
        self._serve(number)

    def _moved(self, number):
        self._headers(302, 0, [("Location", "/plain/x")])

    def _unsized(self, number):
        self._headers(200, None)
        self.wfile.write(self.server.body)
        self.close_connection = True
