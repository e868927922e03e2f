"""Finished builds, kept on disk for a while under names that cannot be guessed."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EnvironmentFault
from .faults import NotFound
from .jobs import Built

SUFFIXES = {"artifact": "", "manifest": ".json", "onnx": ".onnx", "report": ".html"}


@dataclass(frozen=True)
class Kept:
    """A build that can be fetched.

    Attributes:
        token: its name, 256 random bits.
        name: of the artefact's file.
        summary: what is told of it.
        sizes: bytes of each of its files, by kind.
        until: when it goes, by the store's clock.
        folder: where its files lie.
    """

    token: str
    name: str
    summary: Mapping[str, Any]
    sizes: Mapping[str, int]
    until: float
    folder: Path


class Results:
    """A store in a folder that belongs to it alone; safe to use from several threads.

    Args:
        folder: an empty folder.
        keep: seconds for which a result stays.
        most: bytes of all of them; the oldest go first.
        clock: seconds, rising.
    """

    def __init__(
        self, folder: Path, keep: float, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._keep, self._most, self._clock = folder, keep, most, clock
        self._kept: dict[str, Kept] = {}
        self._lock = threading.Lock()

    def put(self, built: Built) -> Kept:
        """Keeps a build.

        Raises:
            EnvironmentFault: the disk is full.
        """
        token = secrets.token_urlsafe(32)
        place = self._folder / secrets.token_hex(16)
        sizes = {kind: len(data) for kind, data in built.files.items()}
        kept = Kept(token, built.name, built.summary, sizes, self._clock() + self._keep, place)
        self._make_room(sum(sizes.values()))
        try:
            place.mkdir(mode=0o700)
            for kind, data in built.files.items():
                (place / kind).write_bytes(data)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            raise EnvironmentFault(f"a result cannot be written: {error.strerror}") from error
        with self._lock:
            self._kept[token] = kept
        return kept

    def get(self, token: str) -> Kept:
        """The build of a token.

        Raises:
            NotFound: there is none, or no longer.
        """
        with self._lock:
            kept = self._kept.get(token)
        if kept is None or kept.until <= self._clock():
            raise _gone()
        return kept

    def read(self, token: str, kind: str) -> tuple[str, bytes]:
        """A file of a build: its name and content.

        Raises:
            NotFound: there is none, or no longer.
        """
        kept = self.get(token)
        if kind not in kept.sizes:
            raise NotFound(f"this build has no {kind[:40]!r}", remedy="ask for it: report=true")
        try:
            data = (kept.folder / kind).read_bytes()
        except OSError:
            raise _gone() from None
        return kept.name + SUFFIXES[kind], data

    def sweep(self) -> None:
        """Removes what is over its time."""
        now = self._clock()
        with self._lock:
            over = [kept for kept in self._kept.values() if kept.until <= now]
        self._remove(over)

    def close(self) -> None:
        """Removes everything."""
        with self._lock:
            kept = list(self._kept.values())
        self._remove(kept)

    def _make_room(self, size: int) -> None:
        self.sweep()
        with self._lock:
            oldest = sorted(self._kept.values(), key=lambda kept: kept.until)
        held = sum(sum(kept.sizes.values()) for kept in oldest)
        over = []
        while oldest and held + size > self._most:
            over.append(oldest.pop(0))
            held -= sum(over[-1].sizes.values())
        self._remove(over)

    def _remove(self, gone: list[Kept]) -> None:
        with self._lock:
            for kept in gone:
                self._kept.pop(kept.token, None)
        for kept in gone:
            shutil.rmtree(kept.folder, ignore_errors=True)


def _gone() -> NotFound:
    return NotFound("there is no such result, or it is no longer kept", remedy="build it again")
