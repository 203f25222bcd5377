"""
Tests for L{jobroute.testing.torture.live}.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli.screen import Screen
from jobroute.testing.torture.live import Show
from jobroute.testing.torture.tally import Tally


@define
class FakeActor:
    """
    A process.
    """

    name: str
    state: str = "up"
    pid: int | None = 4711
    life: int = 3
    kills: dict[str, int] = field(factory=lambda: {"SIGKILL": 2})


class ShowTests(SynchronousTestCase):
    """
    On a terminal, in a pipe, and for programs.
    """

    def setUp(self) -> None:
        """
        Count something.
        """
        self.out = io.StringIO()
        self.tally = Tally(Path())
        self.tally.accepted, self.tally.open = 1234, 56
        self.tally.verdicts["succeeded"] = 78
        self.patch(os, "environ", {**os.environ, "TERM": "xterm"})
        os.environ.pop("NO_COLOR", None)

    def show(self, **screen: Any) -> Show:
        """
        What is to be seen.
        """
        actors: list[Any] = [FakeActor("broker"), FakeActor("a1", "dead", None)]
        show = Show(Screen(out=self.out, **screen), self.tally, actors)
        self.addCleanup(show.end)
        show.phase, show.until = "trouble", 60.0
        show.begin()
        return show

    def test_pipe(self) -> None:
        """
        A line now and then.
        """
        show = self.show(terminal=False)
        for at in (1.0, 5.0, 10.9, 11.0, 15.0):
            show.look(at)
        lines = self.out.getvalue().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertEqual(
            lines[0],
            "1.0s trouble: 1,234 jobs accepted, 56 open; parts: 78 succeeded; 1 of 2 processes up "
            "in their 6 lives.",
        )

    def test_terminal(self) -> None:
        """
        A table of all processes, what was done last, and how many jobs a
        second.
        """
        show = self.show(terminal=True, width=100)
        show.look(0.5)
        show.acted(9.0, "kill_agent: a1")
        self.tally.accepted += 100
        show.look(10.5)
        shown = self.out.getvalue()
        for said in (
            "1,334 accepted",
            "56 open",
            "4711",
            "dead",
            "kill_agent: a1",
            "49.5s left",
            "10.0 a second",
        ):
            self.assertIn(said, shown)
        show.end()
        self.assertEqual(show.acts[0], "   9.0s  kill_agent: a1")

    def test_no_color(self) -> None:
        """
        Who wants no colors gets lines.
        """
        os.environ["NO_COLOR"] = "1"
        self.show(terminal=True, width=100).look(1.0)
        self.assertNotIn("\x1b[", self.out.getvalue())

    def test_json(self) -> None:
        """
        Programs get nothing before the end.
        """
        self.show(json=True).look(1.0)
        self.assertEqual(self.out.getvalue(), "")
