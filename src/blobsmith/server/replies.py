"""Answers: an error, a file to download, a build in one of three forms."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..errors import BlobsmithError
from .desk import Gone, Work
from .faults import OWN_FAULT, answer, for_client, in_fields
from .jobs import Built
from .linger import EarlyResponse
from .results import Kept, Results

RESULTS = "/api/v1/results"
STREAM = "application/x-ndjson"
_TYPES = {"manifest": "application/json", "report": "text/html; charset=utf-8"}
# A report runs its own scripts, but as a page of no site: it cannot ask this server anything.
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


def refusal(error: BlobsmithError, status: int | None = None) -> Response:
    """The answer that an error is."""
    status, headers, body = answer(error, status)
    kind = EarlyResponse if headers.get("connection") == "close" else Response
    return kind(body, status, headers)


def download(name: str, data: bytes, kind: str = "artifact", token: str = "") -> Response:
    """A file; its name is safe in a header, whatever letters it has."""
    plain = "".join(c if c.isascii() else "_" for c in name)
    headers = {
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    }
    if kind == "report":
        headers["content-security-policy"] = _REPORT_POLICY
    if token:
        headers["x-blobsmith-result"] = f"{RESULTS}/{token}"
    return Response(data, 200, headers, _TYPES.get(kind, "application/octet-stream"))


def told(kept: Kept, keep: float) -> dict[str, Any]:
    """What is told of a build, with the places of its files."""
    place = f"{RESULTS}/{kept.token}"
    return {
        "ok": True,
        **kept.summary,
        "result": place,
        "files": {kind: f"{place}/{kind}" for kind in kept.sizes},
        "kept_seconds": keep,
    }


async def built(work: Work, accept: str, results: Results, keep: float) -> Response:
    """A build's answer: the file itself, its summary, or its steps and then its summary."""
    if STREAM in accept:
        return StreamingResponse(_lines(work, results, keep), media_type=STREAM)
    made: Built = await work.result()
    kept = await run_in_threadpool(results.put, made)
    if "application/json" in accept:
        return JSONResponse(told(kept, keep))
    return download(made.name, made.files["artifact"], token=kept.token)


async def _lines(work: Work, results: Results, keep: float) -> AsyncIterator[bytes]:
    """One JSON object a line: the steps as they begin, then the summary or the error."""
    try:
        async for step in work.steps():
            yield _line({"step": step})
        kept = await run_in_threadpool(results.put, await work.result())
        yield _line(told(kept, keep))
    except Gone:
        return
    except BlobsmithError as error:
        yield _line({"ok": False, "error": in_fields(for_client(error)).to_dict()})
    except Exception:
        yield _line({"ok": False, "error": OWN_FAULT.to_dict()})
        raise


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
