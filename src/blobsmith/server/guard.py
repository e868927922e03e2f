"""What every request passes before anything looks at it, and what every answer carries.

The server listens on this computer by default, and so do its browsers: a web page of somebody
else could post to it (refused by Origin and Sec-Fetch-Site), or point a name of its own here to
read the answers (DNS rebinding, refused by Host).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import secrets
import traceback
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from ..errors import BlobsmithError
from .faults import Forbidden, Unauthorized, answer
from .linger import EarlyResponse, Message, Receive, Send
from .settings import Settings

Application = Callable[[Message, Receive, Send], Awaitable[None]]

_SAFE = frozenset(["GET", "HEAD", "OPTIONS"])
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
)
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Guard:
    """An application that asks another one only where a request may pass.

    Args:
        application: the application behind it.
        settings: who may ask.
        open_places: paths, or beginnings of paths that end with "/", that need no token.
        log: told the traceback of what is a mistake of this program.
    """

    def __init__(
        self,
        application: Application,
        settings: Settings,
        open_places: tuple[str, ...],
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._application = application
        self._settings = settings
        self._open = open_places
        self._names = frozenset(["localhost", *(name.lower() for name in settings.names)])

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = _read(scope)

        async def finish(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                known = {name.lower() for name, _ in given}
                extra = [pair for pair in (*_HEADERS, _POLICY) if pair[0] not in known]
                message = {**message, "headers": [*given, *extra]}
            await send(message)

        try:
            self._check(scope, headers)
        except BlobsmithError as error:
            await refuse(error, scope, receive, finish)
            return
        try:
            await self._application(scope, receive, finish)
        except Exception:  # it has been answered; here its traceback is told
            self._log(f"{scope['path']}: {traceback.format_exc()}")

    def _check(self, scope: Message, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Forbidden(
                "the request names a host that is not this server's",
                where=host[:200],
                remedy="use its address, or start it with --name NAME",
            )
        if scope["method"] not in _SAFE and not _is_same_site(headers, host):
            raise Forbidden(
                "a web page of another site made this request",
                where=headers.get("origin", "")[:200],
                remedy="use the server's own page, or a program that is no browser",
            )
        if self._settings.token and not self._is_open(scope["path"]):
            _check_token(headers.get("authorization", ""), self._settings.token)

    def _is_ours(self, host: str) -> bool:
        """An address cannot be pointed elsewhere, a name can; the port tells nothing."""
        name = _hostname(host)
        if name is None:
            return False
        if name in self._names or name == self._settings.host.lower():
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._settings.is_local

    def _is_open(self, path: str) -> bool:
        return any(
            path.startswith(place) if place.endswith("/") and place != "/" else path == place
            for place in self._open
        )


def _read(scope: Message) -> dict[str, str]:
    """The headers; of one that is sent twice, the whole is what no check accepts."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _hostname(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises where there is no number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.hostname


def _is_same_site(headers: dict[str, str], host: str) -> bool:
    """Browsers send Origin with every post, programs do not."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _check_token(given: str, token: str) -> None:
    """Takes `Bearer TOKEN`, and `Basic` with it as password: http://any:TOKEN@host/."""
    kind, _, value = given.partition(" ")
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("latin-1").partition(":")[2]
        except (binascii.Error, ValueError):
            value = ""
    elif kind.lower() != "bearer":
        value = ""
    if not secrets.compare_digest(value.strip().encode("latin-1", "replace"), token.encode()):
        raise Unauthorized(
            "this server wants a token",
            remedy="send the header Authorization: Bearer TOKEN, or the URL http://x:TOKEN@host/",
        )


async def refuse(error: BlobsmithError, scope: Message, receive: Receive, send: Send) -> None:
    """Answers with an error, and closes the connection: of an upload nothing is kept."""
    status, told, body = answer(error)
    await EarlyResponse(body, status, told)(scope, receive, send)
