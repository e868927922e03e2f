"""Reads a form while it arrives, within limits; what it cannot hold is refused on the way."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from .faults import RequestFault, TooLarge, TooSlow
from .settings import MIB, Settings

if TYPE_CHECKING:
    from starlette.types import Message, Receive

_MOST_FIELDS = 64
_MOST_FILES = 4
_MOST_TEXT = 64 << 10
_MOST_NAME = 80


@dataclass(frozen=True)
class Form:
    """A form that has arrived; a context manager that removes its temporary files.

    Attributes:
        fields: the texts by name, in order.
        files: the files by the name of their field; the last one where there are two.
        _data: what holds the files.
    """

    fields: Mapping[str, tuple[str, ...]]
    files: Mapping[str, UploadFile]
    _data: FormData = field(repr=False)

    async def __aenter__(self) -> Form:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._data.close()


async def read_form(request: Request, settings: Settings) -> Form:
    """The form of a request.

    Raises:
        TooLarge: it is larger than the limit: told as soon as that is known.
        TooSlow: it did not arrive in the time of a job.
        RequestFault: it is not multipart/form-data, is damaged, or has too many fields.
    """
    _check_head(request, settings)
    counted = Request(request.scope, _counting(request, settings))
    try:
        data = await asyncio.wait_for(
            counted.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_MOST_TEXT),
            settings.timeout,
        )
    except (HTTPException, MultiPartException) as error:  # of an application and of none
        told = getattr(error, "detail", "") or getattr(error, "message", "")
        raise RequestFault(
            f"the form cannot be read: {told}", remedy="send it as curl -F model=@model.onnx does"
        ) from error
    except asyncio.TimeoutError as error:
        raise TooSlow(
            f"the upload took longer than {settings.timeout:g} s", remedy="send it faster"
        ) from error
    texts: dict[str, tuple[str, ...]] = {}
    files: dict[str, UploadFile] = {}
    for name, value in data.multi_items():
        if isinstance(value, UploadFile):
            files[name] = value
        else:
            texts[name] = (*texts.get(name, ()), value)
    return Form(texts, files, data)


def _check_head(request: Request, settings: Settings) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise RequestFault(
            f"the request is {kind or 'of no type'}, not multipart/form-data",
            remedy="send it as curl -F model=@model.onnx does",
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > settings.max_upload:
        raise _too_large(settings)


def _counting(request: Request, settings: Settings) -> Receive:
    total = 0

    async def receive() -> Message:
        nonlocal total
        message = await request.receive()
        total += len(message.get("body", b""))
        if total > settings.max_upload:
            raise _too_large(settings)
        return message

    return receive


def _too_large(settings: Settings) -> TooLarge:
    most = settings.max_upload
    told = f"{most // MIB} MiB" if most >= MIB else f"{most} bytes"
    return TooLarge(
        f"the upload is larger than {told}",
        remedy="make the model smaller; whoever runs the server can raise --max-upload",
    )


def plain_name(given: str | None, fallback: str = "model.onnx") -> str:
    """A file's name without folders and without anything but letters, digits, `.`, `_`, `-`.

    It is used in messages, in manifests, and as the name of what is downloaded; never as a path.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", given or ""))[-1]
    kept = re.sub(r"[^\w.-]+", "_", last).lstrip(".-")
    stem, dot, suffix = kept.rpartition(".")
    if not dot:
        stem, suffix = kept, ""
    return (stem[:_MOST_NAME] + dot + suffix[:16]) if stem else fallback
