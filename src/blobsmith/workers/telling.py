"""How a job says how far it is; the owner of the worker hears it (`LimitedExecutor`)."""

from __future__ import annotations

from collections.abc import Callable

_listener: Callable[[str], None] | None = None


def tell(text: str) -> None:
    """Says how far the present job is; nobody hears it where the job runs in no worker."""
    if _listener is not None:
        _listener(text)


def listen(listener: Callable[[str], None] | None) -> None:
    """Sets who hears `tell` in this process."""
    global _listener
    _listener = listener
