"""The live page: served on this computer alone, by the standard library.

    /            the page
    /events      everything known, as server-sent events, whenever it changes
    /state       the same, once
    /picture/ID  a picture of the last frame

It listens on 127.0.0.1, and answers only requests that were meant for it: a web site that makes
its own name point here (DNS rebinding) is refused by the Host header.
"""

from __future__ import annotations

import json
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from ..errors import EnvironmentFault
from .live import Board

ADDRESS = "127.0.0.1"
_POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
_BEAT = 1.0
_POLL = 0.05
_PACE = 1 / 30


class LiveServer:
    """A running server; a context manager that ends it.

    Args:
        board: what is shown.
        port: 0: any that is free.

    Raises:
        EnvironmentFault: the port is taken.
    """

    def __init__(self, board: Board, port: int = 0) -> None:
        self._stop = threading.Event()
        stop, page = self._stop, (files("blobsmith.runtime") / "live.html").read_bytes()

        class Handler(_Handler):
            pass

        Handler.board, Handler.page, Handler.stop = board, page, stop
        try:
            self._server = _Server((ADDRESS, port), Handler)
            self._port = int(self._server.server_address[1])
            Handler.hosts = (f"{ADDRESS}:{self._port}", f"localhost:{self._port}")
        except OSError as error:
            raise EnvironmentFault(
                f"port {port} cannot be used: {error.strerror}",
                where=f"{ADDRESS}:{port}",
                remedy="give another one with --port, or 0 for any that is free",
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self._port}/"

    def __enter__(self) -> LiveServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that was closed in the middle of an answer is nothing to tell."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    board: Board
    page: bytes
    hosts: tuple[str, str]
    stop: threading.Event
    protocol_version = "HTTP/1.1"
    server_version = "blobsmith"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not self._meant_for_us():
            self._answer(
                HTTPStatus.FORBIDDEN, b"this page is for this computer alone", "text/plain"
            )
        elif path == "/":
            self._answer(HTTPStatus.OK, self.page, "text/html; charset=utf-8")
        elif path == "/state":
            self._answer(HTTPStatus.OK, _json(self.board.state()[1]), "application/json")
        elif path == "/events":
            self._events()
        elif path.startswith("/picture/"):
            picture = self.board.picture(path.removeprefix("/picture/"))
            if picture is None:
                self._answer(HTTPStatus.NOT_FOUND, b"no such picture", "text/plain")
            else:
                self._answer(HTTPStatus.OK, picture, "image/jpeg")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"no such page", "text/plain")

    def _meant_for_us(self) -> bool:
        return self.headers.get("Host") in self.hosts

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self._headers(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._write(body)

    def _headers(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _events(self) -> None:
        self.send_response(HTTPStatus.OK)
        self._headers("text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        known = -1
        while not self.stop.is_set():
            version, state = self.board.wait(known, _BEAT)
            text = b": beat\n\n" if version == known else b"data: " + _json(state) + b"\n\n"
            if not self._write(text):
                return
            known = version
            self.stop.wait(_PACE)

    def _write(self, data: bytes) -> bool:
        """Whether the reader is still there."""
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: there are thirty a second."""


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()
