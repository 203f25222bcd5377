"""
Tests for L{jobroute.cli.keys}.
"""

from __future__ import annotations

import os
import pty
import termios

from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli.keys import TerminalKeys, pressed


class KeysTests(SynchronousTestCase):
    """
    Keys of a terminal that nobody sees.
    """

    def setUp(self) -> None:
        """
        Open one.
        """
        self.user, self.program = pty.openpty()
        self.addCleanup(os.close, self.program)

    def keys(self, *said: bytes) -> list[str | None]:
        """
        What is read when these were pressed, until nothing is left.
        """
        keys: list[str | None] = []
        with pressed(self.program) as terminal:
            for each in said:
                os.write(self.user, each)
                keys.append(terminal.read(5))
            while (key := terminal.read(0)) is not None:
                keys.append(key)
        os.close(self.user)
        return keys

    def test_characters(self) -> None:
        """
        A key is there without a return, and so are several at once.
        """
        self.assertEqual(self.keys(b"a", b"bc", "é".encode()), ["a", "b", "c", "é"])

    def test_names(self) -> None:
        """
        Keys without a character have names.
        """
        said = b"\x1b[A\x1bOB\t\x1b[Z\x1b[5~\n\x1b"
        expected = ["up", "down", "tab", "back", "page up", "enter", "escape"]
        self.assertEqual(self.keys(said), expected)

    def test_nothing(self) -> None:
        """
        Nobody waits longer than was said.
        """
        self.assertIsNone(TerminalKeys(self.program).read(-1))
        os.close(self.user)

    def test_gone(self) -> None:
        """
        A terminal that is gone quits.
        """
        os.close(self.user)
        self.assertEqual(TerminalKeys(self.program).read(1), "q")

    def test_put_back(self) -> None:
        """
        Afterwards the terminal is as it was.
        """
        before = termios.tcgetattr(self.program)
        with pressed(self.program):
            self.assertNotEqual(termios.tcgetattr(self.program), before)
        self.assertEqual(termios.tcgetattr(self.program), before)
        os.close(self.user)
