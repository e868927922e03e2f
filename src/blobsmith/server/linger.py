"""Answers to uploads that are not read to their end.

A connection that is closed over bytes that nobody has read is reset, and the answer may be lost
with it. So the answer is sent at once, and what still arrives is thrown away for a moment before
the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import Response

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_SECONDS = 2.0
_MOST = 64 << 20


class EarlyResponse(Response):
    """A response that a client hears although it is still sending."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Sends the answer, then reads on for at most two seconds."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_discard(receive), _SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    total, more = 0, True
    while more and total < _MOST:
        message = await receive()
        total += len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
