"""The endpoints: what each takes, and which job it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from .. import _version
from ..compat.conversion import elsewhere
from ..errors import BlobsmithError
from . import cloud, jobs, replies, wish
from .desk import Desk
from .faults import for_client, in_fields, status_of
from .results import Results
from .upload import Form

OPEN = ("/", "/api/v1/health", "/api/v1/openapi.json", f"{replies.RESULTS}/")
"""Places that need no token: a result's own name is one."""


def own_routes(desk: Desk, results: Results) -> APIRouter:
    """Our own endpoints, under /api/v1."""
    router = APIRouter(prefix="/api/v1")
    settings = desk.settings

    @router.get("/health", summary="Whether it works, its version and its limits.")
    async def health() -> Response:
        return JSONResponse(
            {
                "ok": True,
                "version": _version.__version__,
                "requests": desk.gate.inside,
                "needs_token": bool(settings.token),
                "limits": {
                    "jobs": settings.jobs, "waiting": settings.waiting,
                    "upload_bytes": settings.max_upload, "job_seconds": settings.timeout,
                    "kept_seconds": settings.keep,
                },
            }
        )  # fmt: skip

    @router.post(
        "/build",
        summary="An .onnx in, a checked blob out.",
        description="The answer is the blob itself; with `Accept: application/json` what is known "
        "of it and where its files are; with `Accept: application/x-ndjson` the same after a line "
        "for each step as it begins.",
        openapi_extra=_form("model", wish.BUILD),
    )
    async def build(request: Request) -> Response:
        def read(form: Form) -> tuple[str, Callable[..., Any], tuple[Any, ...]]:
            return "model", jobs.build, (wish.read_build(form.fields),)

        work = await desk.begin(request, read)
        accept = request.headers.get("accept", "")
        return await replies.built(work, accept, results, settings.keep)

    @router.post(
        "/check",
        summary="Where a model leaves FP16's range, and what the compiler says of it.",
        openapi_extra=_form("model", wish.CHECK),
    )
    async def check(request: Request) -> Response:
        def read(form: Form) -> tuple[str, Callable[..., Any], tuple[Any, ...]]:
            return "model", jobs.check, (wish.read_check(form.fields),)

        work = await desk.begin(request, read)
        return JSONResponse({"ok": True, **await work.result()})

    @router.post(
        "/inspect",
        summary="What is inside a .blob, .superblob, NN Archive or .onnx.",
        openapi_extra=_form("file", wish.INSPECT),
    )
    async def inspect(request: Request) -> Response:
        def read(form: Form) -> tuple[str, Callable[..., Any], tuple[Any, ...]]:
            return "file", jobs.inspect, tuple(wish.read_inspect(form.fields).values())

        work = await desk.begin(request, read)
        return JSONResponse({"ok": True, **await work.result()})

    @router.get("/results/{token}", summary="What is known of a finished build.")
    async def result(token: str) -> Response:
        return JSONResponse(replies.told(results.get(token), settings.keep))

    @router.get(
        "/results/{token}/{kind}",
        summary="A file of a finished build: artifact, manifest, onnx or report.",
    )
    async def file(token: str, kind: str) -> Response:
        name, data = await run_in_threadpool(results.read, token, kind)
        return replies.download(name, data, kind)

    return router


def cloud_routes(desk: Desk, results: Results) -> APIRouter:
    """The endpoints of blobconverter's client."""
    router = APIRouter(include_in_schema=False)

    @router.post("/compile")
    async def compile_(request: Request) -> Response:
        def read(form: Form) -> tuple[str, Callable[..., Any], tuple[Any, ...]]:
            return cloud.read_compile(form, request.query_params)

        try:
            work = await desk.begin(request, read)
            return await replies.built(work, "", results, desk.settings.keep)
        except BlobsmithError as error:
            status = status_of(error)
            return replies.refusal(for_client(error), 400 if status == 422 else status)

    @router.get("/zoo_models")
    async def zoo_models() -> Response:
        raise elsewhere("zoo")

    return router


def own_refusal(error: BlobsmithError, path: str) -> Response:
    """The answer that an error of our own endpoints is, in the words of their fields."""
    told = for_client(error)
    if path.startswith("/api/"):
        told = in_fields(told)
    return replies.refusal(told, status_of(error))


def _form(file: str, fields: Mapping[str, wish.Field]) -> dict[str, Any]:
    """A form as OpenAPI describes it."""
    properties: dict[str, Any] = {file: {"type": "string", "format": "binary"}}
    for name, field in fields.items():
        text: dict[str, Any] = {"type": "string"}
        if field.default:
            text["default"] = field.default
        listed = {"type": "array", "items": text} if field.repeats else text
        properties[name] = {**listed, "description": field.help}
    schema = {"type": "object", "required": [file], "properties": properties}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }
