"""Too large, too many, gone in the middle: told early, and nothing stays behind."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from typing import Any

import httpx
import pytest

from blobsmith.errors import EnvironmentFault, ToolchainError
from blobsmith.server.settings import Settings
from blobsmith.workers.pool import WorkerFault

from .conftest import HeldPool, Served, served

SECRET = "/home/somebody/secret"


def _head(server: Served, *lines: str) -> bytes:
    head = ("POST /api/v1/build HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *lines)
    return "\r\n".join(head).encode() + b"\r\n\r\n"


def _answer(connection: socket.socket) -> bytes:
    told = b""
    while piece := connection.recv(65536):
        told += piece
    return told


def test_a_large_upload_is_refused_before_it_is_sent(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        kind = "Content-Type: multipart/form-data; boundary=b"
        connection.sendall(_head(server, kind, "Content-Length: 999999999"))
        told = _answer(connection)
    assert told.startswith(b"HTTP/1.1 413")
    assert b"too-large" in told


def test_a_large_upload_of_unknown_length_is_refused_on_the_way(server: Served) -> None:
    """It never ends, so that an answer after reading it would never come."""
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        kind = "Content-Type: multipart/form-data; boundary=b"
        connection.sendall(_head(server, kind, "Transfer-Encoding: chunked"))
        part = b'--b\r\nContent-Disposition: form-data; name="model"; filename="m.onnx"\r\n\r\n'
        connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        piece = b"x" * 65536
        told = b""
        for _ in range(17):  # 1 MiB is the limit
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        told = _answer(connection)
    assert told.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"x"),
        ("application/x-www-form-urlencoded", b"model=x"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\n\r\n"),
    ],
)
def test_what_is_no_form_is_refused(ask: httpx.Client, kind: str, body: bytes) -> None:
    answer = ask.post("/api/v1/build", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in ("request", "usage")


def test_a_form_of_many_fields_or_without_a_file_is_refused(ask: httpx.Client) -> None:
    many = {"model": ("m.onnx", b"x"), **{f"f{i}": (None, "1") for i in range(80)}}
    assert ask.post("/api/v1/build", files=many).status_code == 400
    none = ask.post("/api/v1/build", files={"other": ("m.onnx", b"x")})
    assert none.status_code == 400
    assert "'model'" in none.json()["error"]["what"]


class Asking:
    """A build that somebody asks for in a thread."""

    def __init__(self, server: Served) -> None:
        self.answer: httpx.Response | None = None
        self._server = server
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._server.client() as client:
            self.answer = client.post("/api/v1/check", files={"model": ("m.onnx", b"x")})

    def status(self) -> int:
        self._thread.join(60)
        assert self.answer is not None
        return self.answer.status_code


def _inside(client: httpx.Client, wanted: int) -> None:
    for _ in range(20000):
        if client.get("/api/v1/health").json()["requests"] == wanted:
            return
    raise AssertionError(f"never {wanted} requests")


def test_more_than_fit_are_told_to_come_back() -> None:
    pool = HeldPool()
    with served(Settings(jobs=1, waiting=1), pool) as server, server.client() as client:
        first = Asking(server)
        pool.wait_for(lambda p: len(p.jobs) == 1)
        second = Asking(server)
        _inside(client, 2)
        refused = client.post("/api/v1/check", files={"model": ("m.onnx", b"x")})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
        assert refused.json()["error"]["code"] == "busy"
        assert len(pool.jobs) == 1, "one runs, one waits"
        pool.jobs[0].set_result({"verdict": "safe"})
        assert first.status() == 200
        pool.wait_for(lambda p: len(p.jobs) == 2)
        pool.jobs[1].set_result({"verdict": "safe"})
        assert second.status() == 200
        _inside(client, 0)


def _raw_check(server: Served) -> socket.socket:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="model"; filename="m.onnx"\r\n\r\nx\r\n'
        b"--b--\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    connection.sendall(
        _head(
            server, "Content-Type: multipart/form-data; boundary=b",
            f"Content-Length: {len(body)}", "Accept: */*",
        )
        + body
    )  # fmt: skip
    return connection


def test_a_client_that_goes_takes_its_job_with_it() -> None:
    pool = HeldPool()
    with served(Settings(jobs=1, waiting=1), pool) as server, server.client() as client:
        running = _raw_check(server)
        pool.wait_for(lambda p: len(p.jobs) == 1)
        waiting = _raw_check(server)
        _inside(client, 2)
        waiting.close()
        _inside(client, 1)
        running.close()
        pool.wait_for(lambda p: p.abandoned == p.jobs)
        _inside(client, 0)
        assert len(pool.jobs) == 1, "the one that waited never ran"
    assert server.told == []


def test_a_client_that_goes_in_the_middle_of_its_upload() -> None:
    pool = HeldPool()
    with served(Settings(), pool) as server, server.client() as client:
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            kind = "Content-Type: multipart/form-data; boundary=b"
            connection.sendall(_head(server, kind, "Content-Length: 1000") + b"--b\r\n")
            _inside(client, 1)
        _inside(client, 0)
        assert pool.jobs == []
    assert server.told == []


def test_a_client_that_goes_while_steps_are_told() -> None:
    pool = HeldPool()
    with served(Settings(), pool) as server, server.client() as client:
        with client.stream(
            "POST", "/api/v1/build", files={"model": ("m.onnx", b"x")},
            headers={"accept": "application/x-ndjson"},
        ) as answer:  # fmt: skip
            assert next(answer.iter_lines()) == '{"step": "begun"}'
        pool.wait_for(lambda p: p.abandoned == p.jobs)
        _inside(client, 0)


def test_an_upload_that_does_not_arrive_is_ended() -> None:
    kind = "Content-Type: multipart/form-data; boundary=b"
    with (
        served(Settings(timeout=0.2), HeldPool()) as server,
        socket.create_connection(("127.0.0.1", server.port), 60) as connection,
    ):
        connection.sendall(_head(server, kind, "Content-Length: 1000"))
        assert _answer(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("error", "status", "logged"),
    [
        (EnvironmentFault("a step took longer than 9 s", where=SECRET), 422, False),
        (EnvironmentFault("a temporary file cannot be written", where=SECRET), 503, True),
        (ToolchainError("the compiler is damaged", where=SECRET), 503, True),
        (WorkerFault(f"KeyError: {SECRET}"), 500, True),
        (ValueError(SECRET), 500, True),
    ],
)
def test_what_goes_wrong_here_is_told_here_and_not_to_clients(
    error: Exception, status: int, logged: bool
) -> None:
    pool = HeldPool()
    with served(Settings(), pool) as server:
        for path in ("/api/v1/check", "/compile"):
            asked = _ask_and_fail(server, pool, path, error)
            assert asked.status_code == (400 if path == "/compile" and status == 422 else status)
            assert SECRET not in asked.text
            assert "Traceback" not in asked.text
            assert set(asked.json()["error"]) == {"code", "what", "where", "remedy"}
    assert any(SECRET in line for line in server.told) is logged


def _ask_and_fail(server: Served, pool: HeldPool, path: str, error: Exception) -> httpx.Response:
    before = len(pool.jobs)
    found: list[httpx.Response] = []

    def ask() -> None:
        files: dict[str, Any] = {"model": ("m.onnx", b"x")}
        if path == "/compile":
            files["config"] = ("config", b"framework: onnx\nmodel_optimizer_args: []\n")
        with server.client() as client:
            found.append(client.post(path, files=files))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    pool.wait_for(lambda p: len(p.jobs) > before)
    job: Future[Any] = pool.jobs[-1]
    job.set_exception(error)
    thread.join(60)
    return found[0]


def test_stopping_ends_what_runs() -> None:
    pool = HeldPool()
    with served(Settings(), pool) as server:
        asking = Asking(server)
        pool.wait_for(lambda p: len(p.jobs) == 1)
    assert asking.status() == 503
    assert asking.answer is not None
    assert "being stopped" in asking.answer.json()["error"]["what"]


def test_a_taken_port_is_told() -> None:
    from blobsmith.server.listen import bind

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(EnvironmentFault) as told,
    ):
        bind(Settings(port=taken.getsockname()[1]))
    assert "--port" in told.value.remedy
    with pytest.raises(EnvironmentFault):
        bind(Settings(host="no such host.invalid", port=0))
