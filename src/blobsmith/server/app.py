"""The server as one ASGI application."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from .. import _version
from ..errors import BlobsmithError
from ..workers import LimitedExecutor
from .desk import Desk, Gone, Pool
from .faults import OWN_FAULT, NotAllowed, NotFound, RequestFault, status_of
from .gate import Gate
from .guard import Application, Guard
from .replies import refusal
from .results import Results
from .routes import OPEN, cloud_routes, own_refusal, own_routes
from .settings import Settings

_SWEEP_SECONDS = 15.0
_NOBODY = 499  # what proxies log where a client has gone; nobody reads it


def create_app(
    settings: Settings,
    folder: Path,
    *,
    pool: Pool | None = None,
    gate: Gate | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> Application:
    """The server, for any ASGI server with one process and lifespan events.

    Args:
        settings: the limits, and who may ask.
        folder: an empty folder, in which finished builds are kept; emptied at the end.
        pool: where jobs run; None: workers with the settings' limits.
        gate: how many are taken in; None: as the settings say.
        log: told in a sentence what failed that is not a client's fault.
    """
    pool = pool or LimitedExecutor(settings.jobs, timeout=settings.timeout, memory=settings.memory)
    gate = gate or Gate(settings.jobs, settings.waiting)
    desk = Desk(settings, gate, pool)
    results = Results(folder, settings.keep, settings.keep_bytes)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(results))
        pool.start("blobsmith.road:preload_checks")
        try:
            yield
        finally:
            sweeping.cancel()
            gate.close()
            await asyncio.to_thread(pool.stop)
            results.close()

    app = FastAPI(
        title="blobsmith", version=_version.__version__, lifespan=lifespan,
        docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json",
    )  # fmt: skip
    app.include_router(own_routes(desk, results))
    app.include_router(cloud_routes(desk, results))
    _add_page(app)
    _add_faults(app, log)
    return Guard(app, settings, OPEN, log)


async def _sweep(results: Results) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        await asyncio.to_thread(results.sweep)


def _add_page(app: FastAPI) -> None:
    page = (files("blobsmith.server") / "page.html").read_bytes()
    policy = page_policy(page.decode())

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, 200, {"content-security-policy": policy}, "text/html; charset=utf-8")


def page_policy(page: str) -> str:
    """A policy under which a page may run its own script and style, and no others."""

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (hashlib.sha256(text.encode()).digest() for text in found)
        return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _add_faults(app: FastAPI, log: Callable[[str], None]) -> None:
    @app.exception_handler(BlobsmithError)
    async def told(request: Request, error: BlobsmithError) -> Response:
        if status_of(error) >= 500 and not isinstance(error, RequestFault):
            log(f"{request.url.path}: {error}{_detail(error)}")
        return own_refusal(error, request.url.path)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return refusal(NotAllowed(f"{request.method} is not for this place"))
        if error.status_code == 404:
            return refusal(NotFound("there is nothing at this place", remedy="see /"))
        return refusal(RequestFault(str(error.detail)), error.status_code)

    @app.exception_handler(Gone)
    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=_NOBODY)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        """Our own mistake; it is raised again behind this, and its traceback logged."""
        return refusal(OWN_FAULT, 500)


def _detail(error: BlobsmithError) -> str:
    detail = getattr(error, "detail", "")
    return f"\n{detail}" if detail else ""
