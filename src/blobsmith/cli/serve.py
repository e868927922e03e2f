"""`blobsmith serve`: one's own converter service, in place of a vendor's."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

import typer

from .session import DebugFlag, JsonFlag, Session, session

if TYPE_CHECKING:
    from ..server.settings import Settings

_MIB = 1 << 20


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any that is free.")] = 8000,
    jobs: Annotated[int, typer.Option(help="Builds at once, each in a process.")] = 1,
    waiting: Annotated[int, typer.Option(help="More that may wait; others get 503.")] = 8,
    max_upload: Annotated[int, typer.Option(help="Largest upload in MiB.")] = 256,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for a build; 120, or BLOBSMITH_TIMEOUT.")
    ] = None,
    keep: Annotated[
        int, typer.Option(help="Seconds for which a finished build can be fetched.")
    ] = 600,
    token: Annotated[
        str | None,
        typer.Option(help="What clients must send; better in BLOBSMITH_SERVE_TOKEN."),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="Name by which clients reach this machine; repeat."),
    ] = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Takes .onnx files over HTTP and gives checked blobs, until Ctrl-C.

    A page at /, our own endpoints under /api/v1, and those of the `blobconverter` client. With
    --json, one object when it is ready.
    """
    with session(as_json, debug) as out:
        import os

        from ..myriad import toolchain
        from ..server.settings import Settings
        from ..workers import limits_from_environment

        seconds, memory = limits_from_environment()
        settings = Settings(
            host=host, port=port, jobs=jobs, waiting=waiting, max_upload=max_upload * _MIB,
            timeout=seconds if timeout is None else timeout, memory=memory, keep=keep,
            token=os.environ.get("BLOBSMITH_SERVE_TOKEN", "") if token is None else token,
            names=(*(names or ()), *_own_names(host)),
        )  # fmt: skip
        _require_extra()
        toolchain.require()
        _run(settings, out)


def _run(settings: Settings, out: Session) -> None:
    from ..server.listen import address, bind
    from ..server.listen import serve as run

    bound = bind(settings)
    url = address(bound, settings)
    if not settings.is_local:
        _warn(settings, out)

    def ready() -> None:
        out.data.update(
            url=url, host=settings.host, port=bound.getsockname()[1], token=bool(settings.token)
        )
        out.say(f"{url}  the page; Ctrl-C stops it")
        out.say(f'blobconverter.set_defaults(url="{url}")  for its Python client')
        out.publish()

    run(settings, bound, ready=ready, log=out.fault)


def _warn(settings: Settings, out: Session) -> None:
    if not settings.token:
        out.warn(
            f"{settings.host} can be reached from other machines, and anyone who reaches it may "
            "build: there is no authentication without --token"
        )
    else:
        out.warn(
            f"{settings.host} can be reached from other machines, and nothing is encrypted: the "
            "token and the models can be read on the way"
        )


def _own_names(host: str) -> tuple[str, ...]:
    """What this machine calls itself, where others may reach it; a name that nobody can take."""
    from ..server.settings import is_loopback

    return () if is_loopback(host) else (socket.gethostname(), f"{socket.gethostname()}.local")


def _require_extra() -> None:
    """Raises EnvironmentFault where what the server needs is not installed."""
    from importlib.util import find_spec

    from ..errors import EnvironmentFault

    for name in ("fastapi", "uvicorn", "python_multipart", "yaml"):
        if find_spec(name) is None:
            raise EnvironmentFault(
                f"the server needs {name}, which is not installed",
                remedy="pip install 'blobsmith[server]'",
            )
