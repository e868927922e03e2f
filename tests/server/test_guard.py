"""Who may ask: Host, Origin and token."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest

from blobsmith.server.guard import Guard
from blobsmith.server.settings import Settings

from .conftest import HeldPool, Served, served


def ask(settings: Settings, method: str = "POST", path: str = "/x", **headers: str) -> int:
    """The status that a guarded application answers with; 200 where it was asked."""
    told: list[dict[str, Any]] = []

    async def inner(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        told.append(dict(message))

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    given = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": given}
    asyncio.run(Guard(inner, settings, ("/", "/open/"))(scope, receive, send))
    names = {name for name, _ in told[0]["headers"]}
    assert b"content-security-policy" in names
    assert b"x-content-type-options" in names
    return int(told[0]["status"])


LOCAL = Settings()
OPEN = Settings(host="0.0.0.0", names=("builder.lan",))


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        (LOCAL, "127.0.0.1:8000", 200),
        (LOCAL, "localhost:9000", 200),
        (LOCAL, "[::1]:8000", 200),
        (LOCAL, "LOCALHOST", 200),
        (LOCAL, "evil.example:8000", 403),
        (LOCAL, "localhost.evil.example", 403),
        (LOCAL, "192.168.0.5:8000", 403),
        (LOCAL, "", 403),
        (LOCAL, "localhost:8000, evil.example", 403),
        (LOCAL, "evil.example@localhost", 403),
        (LOCAL, "localhost/evil", 403),
        (LOCAL, "localhost:x", 403),
        (LOCAL, "[::1", 403),
        (OPEN, "192.168.0.5:8000", 200),
        (OPEN, "builder.lan", 200),
        (OPEN, "evil.example", 403),
    ],
)
def test_the_host_is_ours(settings: Settings, host: str, status: int) -> None:
    assert ask(settings, "GET", host=host) == status
    assert ask(settings, "POST", host=host) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost:8000"}, 200),
        ({"origin": "http://localhost:8000", "sec_fetch_site": "same-origin"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
    ],
)
def test_pages_of_other_sites_may_not_post(headers: dict[str, str], status: int) -> None:
    assert ask(LOCAL, "POST", host="localhost:8000", **headers) == status
    assert ask(LOCAL, "DELETE", host="localhost:8000", **headers) == status
    assert ask(LOCAL, "GET", host="localhost:8000", **headers) == 200, "a link to the page"


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        (_basic("anyone:s3cret"), 200),
        ("", 401),
        ("Bearer", 401),
        ("Bearer wrong", 401),
        ("s3cret", 401),
        ("Bearer s3cret\xe9", 401),
        ("Basic !!!", 401),
        (_basic("s3cret"), 401),
        (_basic("s3cret:wrong"), 401),
    ],
)
def test_the_token(given: str, status: int) -> None:
    settings = Settings(token="s3cret")
    assert ask(settings, host="localhost", path="/api/v1/build", authorization=given) == status
    assert ask(settings, host="localhost", path="/", authorization=given) == 200
    assert ask(settings, host="localhost", path="/open/x", authorization=given) == 200
    assert ask(settings, host="localhost", path="/openx", authorization=given) == status


@pytest.fixture(scope="module")
def closed() -> Iterator[Served]:
    with served(Settings(token="s3cret"), HeldPool()) as server:
        yield server


def test_a_server_with_a_token(closed: Served) -> None:
    with closed.client() as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/v1/health").json()["needs_token"]
        files = {"model": ("m.onnx", b"x")}
        for place in ("/api/v1/build", "/api/v1/check", "/api/v1/inspect", "/compile"):
            refused = client.post(place, files=files)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "unauthorized"
        let = client.post("/api/v1/build", files={}, headers={"authorization": "Bearer s3cret"})
        assert let.status_code == 400
