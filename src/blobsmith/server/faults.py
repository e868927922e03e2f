"""Errors as HTTP answers: which status each has, and which of its words a client may see."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from ..errors import (
    BlobsmithError,
    CheckFailed,
    EnvironmentFault,
    ModelError,
    ToolchainError,
    UsageError,
)
from ..paths import cache_root
from ..workers.pool import WorkerFault

OWN_FAULT = BlobsmithError("the server failed", remedy="whoever runs it finds more in its output")


class RequestFault(UsageError):
    """A request that is refused for itself, whatever it asks."""

    status = 400
    code = "request"


class TooLarge(RequestFault):
    """An upload beyond the limit."""

    status = 413
    code = "too-large"


class TooSlow(RequestFault):
    """An upload that does not arrive."""

    status = 408
    code = "too-slow"


class Forbidden(RequestFault):
    """A request that a web page of somebody else made."""

    status = 403
    code = "forbidden"


class Unauthorized(RequestFault):
    """A request without the token."""

    status = 401
    code = "unauthorized"


class NotFound(RequestFault):
    """A place that does not exist, or no longer."""

    status = 404
    code = "not-found"


class NotAllowed(RequestFault):
    """A method that a place does not have."""

    status = 405
    code = "method"


class Busy(EnvironmentFault):
    """As many jobs as the server takes in; `retry` is when to ask again, in seconds."""

    code = "busy"
    retry = 5


class Stopping(Busy):
    """The server is being ended."""


def status_of(error: BlobsmithError) -> int:
    """The HTTP status of an error; 500 is only for what is a mistake of this program."""
    if isinstance(error, RequestFault):
        return error.status
    if isinstance(error, (Busy, ToolchainError)):
        return 503
    if isinstance(error, WorkerFault):
        return 500
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, (ModelError, CheckFailed)):
        return 422
    if isinstance(error, EnvironmentFault):
        return 503 if _is_the_disk(error) else 422
    return 500


def answer(error: BlobsmithError, status: int | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer that an error is; it is told as it is."""
    body = json.dumps({"ok": False, "error": error.to_dict()}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    if isinstance(error, RequestFault):
        headers["connection"] = "close"  # what is left of the upload is not read
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, Busy):
        headers["retry-after"] = str(error.retry)
    return status or status_of(error), headers, body


def _is_the_disk(error: EnvironmentFault) -> bool:
    """Whether a fault is the machine's; all others are a model's that asks for too much."""
    return "cannot be written" in error.what


def for_client(error: BlobsmithError) -> BlobsmithError:
    """The error in words that are meant for whoever asked.

    Nothing of this machine's folders, of other programs' output, and of options that only the
    command line has.
    """
    if isinstance(error, (RequestFault, Busy)):
        return error
    status = status_of(error)
    if status == 500:
        return OWN_FAULT
    if isinstance(error, ToolchainError) or status == 503:
        return Busy(
            "the server cannot build at the moment", remedy="tell whoever runs it to look at it"
        )
    if isinstance(error, EnvironmentFault):
        return EnvironmentFault(
            _plain(error.what),
            remedy="make the model smaller; whoever runs the server sets its limits",
        )
    told = type(error)(_plain(error.what), where=_plain(error.where), remedy=_plain(error.remedy))
    return told


def _plain(text: str) -> str:
    for root in _roots():
        text = text.replace(root, "...")
    return text


def _roots() -> tuple[str, ...]:
    """Folders of this machine that a message may name by accident."""
    folders = (cache_root(), Path(__file__).parents[1], Path(sys.prefix), tempfile.gettempdir())
    return tuple(sorted({str(f) for f in folders if str(f) != "/"}, key=len, reverse=True))


_OPTIONS = (
    (re.compile(r"--no-(verify|optimize|hardware)\b"), r"\1=false"),
    (re.compile(r"--fix-fp16\b"), "fix_fp16=true"),
    (re.compile(r"--(input|output-name)[ =](?=\S)"), r"\1="),
    (re.compile(r"--(mean|scale|color|shaves|format)[ =](?=\S)"), r"\1="),
    (re.compile(r"--(input|mean|scale|color|shaves|format)\b"), r"\1"),
)


def in_fields(error: BlobsmithError) -> BlobsmithError:
    """The error with options called as the fields of our own form: "fix_fp16=true"."""
    remedy = error.remedy
    for pattern, field in _OPTIONS:
        remedy = pattern.sub(field, remedy)
    remedy = remedy.replace("output-name=", "output_name=")
    return type(error)(error.what, where=error.where, remedy=remedy)
