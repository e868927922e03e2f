"""How many requests are taken in, and how many of them run."""

from __future__ import annotations

import asyncio

from .faults import Busy, Stopping


class Gate:
    """Counts requests from their first byte to the end of their job.

    Args:
        running: jobs at once.
        waiting: requests more than that, which arrive or wait for their turn.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._most = running + waiting
        self._turns = asyncio.Semaphore(running)
        self._inside = 0
        self._closed = False

    @property
    def inside(self) -> int:
        """Requests that were let in and have not left."""
        return self._inside

    def enter(self) -> Ticket:
        """Lets a request in.

        Raises:
            Busy: there are as many as there may be.
        """
        self.require_open()
        if self._inside >= self._most:
            raise Busy(
                f"{self._inside} requests are being worked on, and no more are taken in",
                remedy=f"ask again in {Busy.retry} s",
            )
        self._inside += 1
        return Ticket(self)

    def close(self) -> None:
        """Lets nobody in any more."""
        self._closed = True

    def require_open(self) -> None:
        """Raises Stopping once it is closed: what fails from then on fails for that reason."""
        if self._closed:
            raise Stopping("the server is being stopped", remedy="ask again when it runs again")

    async def _turn(self) -> None:
        await self._turns.acquire()

    def _leave(self, *, ran: bool) -> None:
        self._inside -= 1
        if ran:
            self._turns.release()


class Ticket:
    """The place of one request; given back once, however often `leave` is called."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._ran = self._left = False

    def require_open(self) -> None:
        """As `Gate.require_open`."""
        self._gate.require_open()

    async def turn(self) -> None:
        """Waits until the request's job may run."""
        await self._gate._turn()
        self._ran = True

    def leave(self) -> None:
        """Gives the place back."""
        if not self._left:
            self._left = True
            self._gate._leave(ran=self._ran)
