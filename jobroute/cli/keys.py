# -*- test-case-name: tests.cli.test_keys -*-
"""
Keys that are pressed in a terminal, one at a time.
"""

from __future__ import annotations

import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

#: What terminals send for keys that have no character.
_NAMES = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[Z": "back",
    "\t": "tab",
    "\r": "enter",
    "\n": "enter",
    "\x1b": "escape",
    "\x04": "q",
}


class Keys(Protocol):
    """
    Where keys come from.
    """

    def read(self, timeout: float) -> str | None:
        """
        Wait for a key.

        @param timeout: for how many seconds at most.
        @return: its character or name, or L{None} if none was pressed.
        """


class TerminalKeys:
    """
    The keys of a terminal that gives each at once.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending = ""

    def read(self, timeout: float) -> str | None:
        """
        See L{Keys.read}.  A terminal that is gone presses C{q}.
        """
        if not self._pending:
            readable, _, _ = select.select([self._descriptor], [], [], max(0.0, timeout))
            if not readable:
                return None
            try:
                said = os.read(self._descriptor, 1024)
            except OSError:
                said = b""
            if not said:
                return "q"
            self._pending = said.decode("utf-8", "replace")
        for sequence in sorted(_NAMES, key=len, reverse=True):
            if self._pending.startswith(sequence):
                self._pending = self._pending[len(sequence) :]
                return _NAMES[sequence]
        key, self._pending = self._pending[0], self._pending[1:]
        return key


@contextmanager
def pressed(descriptor: int) -> Iterator[Keys]:
    """
    The keys of a terminal, which gives each at once and shows none meanwhile.
    """
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield TerminalKeys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
