"""What takes longer than a second shows that it is alive: one line on a terminal, then gone.

    ███████████░░░░░░░░░  rewrite  2.4 s

Nothing is written where nobody watches (a pipe, a file, TERM=dumb), and no colour anywhere.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Sequence
from typing import TextIO

BUILD_STEPS = (
    "export", "reference", "read", "simplify", "rewrite", "check FP16", "compile", "verify",
)  # fmt: skip
_WIDTH = 20
_EVERY = 0.1
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """One line that says which step is going on, and since when.

    Args:
        stream: where it is drawn; nothing is, unless it is a terminal.
        order: the steps that are expected, for the bar; steps of another name move no bar.
        after: seconds before it is shown at all.
    """

    def __init__(self, stream: TextIO, order: Sequence[str] = (), after: float = 1.0) -> None:
        self._stream, self._order, self._after = stream, tuple(order), after
        self._began = self._since = time.monotonic()
        self._name, self._share = "", 0.0
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._drawn = False

    def step(self, name: str, share: float | None = None) -> None:
        """The step that begins now.

        Args:
            name: a few words.
            share: how much is done, 0 to 1; None: from the place of `name` in the order.
        """
        if not _is_terminal(self._stream) or self._ended.is_set():
            return
        with self._lock:
            if share is None and name in self._order:
                share = self._order.index(name) / len(self._order)
            self._share = self._share if share is None else share
            self._name, self._since = name, time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw_until_ended, daemon=True)
            self._thread.start()

    def clear(self) -> None:
        """Takes the line away, so that something else can be printed; it comes back by itself."""
        with self._lock:
            if self._drawn:
                self._write(_CLEAR)
                self._drawn = False

    def close(self) -> None:
        """Takes the line away for good."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.clear()

    def _draw_until_ended(self) -> None:
        while not self._ended.wait(_EVERY):
            with self._lock:
                if time.monotonic() - self._began >= self._after:
                    self._write(_CLEAR + self._text())
                    self._drawn = True

    def _text(self) -> str:
        full = round(self._share * _WIDTH)
        bar = "█" * full + "░" * (_WIDTH - full)
        text = f"{bar}  {self._name}  {time.monotonic() - self._since:.1f} s"
        room = shutil.get_terminal_size().columns - 1
        return text[:room]

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            self._stream.write(text.translate({0x2588: "#", 0x2591: "."}))
        self._stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # it is closed
        return False
