"""
Tests of L{jobroute.cli.screen}: the same on a terminal, in a pipe, in JSON.
"""

from __future__ import annotations

import io
import json
import os
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli.screen import Column, Screen, clean, escaped, json_frame, shown, span
from tests.cli.support import NOW, StillClock, terminal

COLUMNS = [
    Column("job"),
    Column("number", number=True),
    Column("client", wide=100),
    Column("why it waits"),
]
ROWS = [("j1", 7, "", "nobody is there"), ("a-longer-name", 1000, "c 1", "")]


def piped(json: bool = False) -> tuple[Screen, io.StringIO]:
    """
    A screen that is a pipe, and what goes through.
    """
    out = io.StringIO()
    return Screen(json, out, io.StringIO(), terminal=False, clock=StillClock()), out


class WordTests(SynchronousTestCase):
    """
    Values as words.
    """

    def test_spans(self) -> None:
        """
        Durations in one or two units.
        """
        given: dict[float, str] = {
            0.0004: "0ms",
            0.25: "250ms",
            0.9996: "1.0s",
            1.26: "1.3s",
            59.94: "59.9s",
            59.96: "1m00s",
            61: "1m01s",
            3599.6: "1h00m",
            7262: "2h01m",
            2 * 86400: "2d00h",
            90_000_000: "1041d16h",
        }
        self.assertEqual({seconds: span(seconds) for seconds in given}, given)

    def test_clean(self) -> None:
        """
        Nothing that a terminal would obey is left.
        """
        self.assertEqual(clean("a\x1b[31mb\nc"), "a\\x1b[31mb\\nc")
        self.assertEqual(clean("Grüße, 世界"), "Grüße, 世界")
        self.assertEqual(clean("\udcff"), "\\udcff")

    def test_frames(self) -> None:
        """
        A frame in one line, and in JSON, can be told from another.
        """
        self.assertEqual((shown(b"a\n"), shown(b"\xff" * 1000)), ("a", "<1,000 bytes>"))
        self.assertEqual(escaped(b"a\r\nb\xff\tc"), "a\\r\\nb\\xff\tc")
        self.assertEqual(json_frame(b"a"), "a")
        self.assertEqual(json_frame(b"\xff"), {"base64": b"\xff"})


class PipeTests(SynchronousTestCase):
    """
    What a program reads.
    """

    def test_table(self) -> None:
        """
        Columns are aligned; blanks are in the last one only, and what is
        empty is a dash: awk finds each field.
        """
        screen, out = piped()
        screen.table(COLUMNS, ROWS)
        self.assertEqual(
            out.getvalue(),
            "JOB            NUMBER  CLIENT  WHY IT WAITS\n"
            "j1                  7  -       nobody is there\n"
            "a-longer-name    1000  c_1     -\n",
        )

    def test_empty_table(self) -> None:
        """
        A table without rows has its titles all the same.
        """
        screen, out = piped()
        screen.table(COLUMNS, [])
        self.assertEqual(out.getvalue(), "JOB  NUMBER  CLIENT  WHY IT WAITS\n")

    def test_pairs(self) -> None:
        """
        Names and values.
        """
        screen, out = piped()
        screen.pairs({"pid": 7, "reason": None})
        self.assertEqual(out.getvalue(), "pid     7\nreason  -\n")

    def test_moment(self) -> None:
        """
        All of a moment, in one word.
        """
        screen, _ = piped()
        self.assertRegex(screen.moment(NOW), r"^2026-09-2\dT\d\d:\d\d:\d\d$")
        self.assertEqual(screen.moment(None), "")

    def test_counts(self) -> None:
        """
        How many of what, in one word.
        """
        screen, _ = piped()
        self.assertEqual(screen.counts({"failed": 1, "lost": 2}), "failed=1,lost=2")

    def test_frame(self) -> None:
        """
        A text ends with a newline; all else goes through as it is.
        """

        def through(frame: bytes, raw: bool = False) -> bytes:
            data = io.BytesIO()
            text = io.TextIOWrapper(data, "utf-8")
            Screen(False, text, terminal=False).frame(frame, raw)
            return data.getvalue()

        self.assertEqual(through(b"a"), b"a\n")
        self.assertEqual(through(b"a\n"), b"a\n")
        self.assertEqual(through(b"\x1b\xff"), b"\x1b\xff")
        self.assertEqual(through(b"a", True), b"a")

    def test_value(self) -> None:
        """
        JSON in one line.
        """
        screen, out = piped(json=True)
        value: Any = {"a": ["ä", None, 1.5]}
        screen.value(value)
        self.assertEqual(out.getvalue().count("\n"), 1)
        self.assertEqual(json.loads(out.getvalue()), value)

    def test_no_bar(self) -> None:
        """
        Where nobody looks there is no bar.
        """
        screen, out = piped()
        with screen.progress("work", 10) as tell, screen.waiting("more") as hint:
            tell(5, 10)
            hint(5, 10)
        assert isinstance(screen.err, io.StringIO)
        self.assertEqual((out.getvalue(), screen.err.getvalue()), ("", ""))


class TerminalTests(SynchronousTestCase):
    """
    What people see.
    """

    def setUp(self) -> None:
        """
        Colors are another matter.
        """
        self.patch_environment("NO_COLOR", "1")
        self.patch_environment("TERM", "xterm")

    def patch_environment(self, name: str, value: str) -> None:
        """
        Set a variable as long as the test runs.
        """
        before = os.environ.get(name)
        os.environ[name] = value
        if before is None:
            self.addCleanup(os.environ.pop, name)
        else:
            self.addCleanup(os.environ.__setitem__, name, before)

    def lines(self, width: int) -> list[str]:
        """
        A table on a terminal.
        """
        screen, out = terminal(width)
        screen.table(COLUMNS, ROWS)
        return re.sub("\x1b\\[[0-9;]*m", "", out.getvalue()).splitlines()

    def test_table(self) -> None:
        """
        There is a line below the titles, and no column for which there is no
        room.
        """
        lines = self.lines(80)
        self.assertIn("number", lines[0])
        self.assertNotIn("client", lines[0])
        self.assertIn("───", lines[1])
        self.assertIn("client", self.lines(120)[0])

    def test_narrow(self) -> None:
        """
        Nothing is lost, and no line is too long, on a narrow terminal.
        """
        lines = self.lines(24)
        self.assertLessEqual(max(map(len, lines)), 24)
        words = "".join("".join(line.split()) for line in lines)
        for letter in "nobody":
            self.assertIn(letter, words)

    def test_no_color(self) -> None:
        """
        C{NO_COLOR} is heeded.
        """
        screen, out = terminal()
        screen.table([Column("verdict")], [("succeeded",)])
        self.assertNotIn("\x1b[3", out.getvalue())

    def test_color(self) -> None:
        """
        Else verdicts have colors.
        """
        self.patch_environment("NO_COLOR", "")
        screen, out = terminal()
        screen.table([Column("verdict")], [("succeeded",)])
        self.assertIn("\x1b[32m", out.getvalue())

    def test_nothing_obeyed(self) -> None:
        """
        What agents and clients say cannot command the terminal.
        """
        screen, out = terminal()
        screen.table([Column("a"), Column("b")], [("\x1b]0;x\x07", "[red]")])
        screen.pairs({"name": "\x1b[2J"})
        screen.frame(b"\x1b[2J\ttext\n")
        screen.frame(b"\xff\x1b")
        screen.prose("\x1b[2J [red]")
        self.assertNotIn("\x1b[2J", out.getvalue())
        self.assertNotIn("\x07", out.getvalue())
        self.assertEqual(out.getvalue().count("[red]"), 2)
        self.assertIn("\\x1b[2J\ttext\n", out.getvalue())
        self.assertIn("<2 bytes>", out.getvalue())

    def test_moment(self) -> None:
        """
        The time is enough today, the day this year, then the year.
        """
        screen, _ = terminal()
        self.assertRegex(screen.moment(NOW), r"^\d\d:\d\d:\d\d$")
        self.assertRegex(screen.moment(NOW - 40 * 86400), r"^Aug 1\d \d\d:\d\d$")
        self.assertRegex(screen.moment(NOW - 400 * 86400), r"^2025-08-1\d$")

    def test_counts(self) -> None:
        """
        One of one kind needs no number.
        """
        screen, _ = terminal()
        self.assertEqual(screen.counts({"failed": 1}), "failed")
        self.assertEqual(screen.counts({"failed": 1, "lost": 2}), "1 failed, 2 lost")
