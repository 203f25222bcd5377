"""
Tests for L{jobroute.cli.dashboard}.
"""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli.dashboard import Dashboard, Moment, Waiting
from tests.cli.support import NOW
from tests.cli.test_looking import AGENT


def moment(
    at: float = 100.0, agents: int = 2, epoch: int = 1, accepted: int = 5, ended: int = 3
) -> Moment:
    """
    What a broker with two services and a job that waits says.
    """
    head = {"job": "j1", "namespace": "default", "submitted": NOW - 90}
    services: dict[str, dict[str, Any]] = {
        "echo": {"queued": 1200, "waiting": 3, "agents": 2, "paused": False, "next": head},
        "render": {"queued": 0, "waiting": 0, "agents": 0, "paused": True, "next": None},
    }
    stats = {
        "gauges": {
            "epoch": epoch,
            "agents": agents,
            "running": 3,
            "queued": 1200,
            "waiting": 3,
            "clients": 4,
        },
        "counters": {
            "jobs_accepted": accepted,
            "verdicts_succeeded": ended - 1,
            "verdicts_lost": 1,
        },
        "services": services,
        "storage": {"jobs": 1234},
    }
    found = {f"a{n:03}": {**AGENT, "outstanding": n % 5, "drained": False} for n in range(agents)}
    waiting = Waiting("j1", "default", "echo", NOW - 90, "All are full.")
    return Moment(at, NOW, found, stats, (waiting,))


def drawn(dashboard: Dashboard, width: int = 80, height: int = 24) -> list[str]:
    """
    What a terminal shows.
    """
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, color_system=None)
    console.print(dashboard.draw(width, height))
    return [line.rstrip() for line in out.getvalue().splitlines()]


class DrawTests(SynchronousTestCase):
    """
    How it looks.
    """

    def test_nothing_yet(self) -> None:
        """
        Before the broker has said anything, it says that it looks.
        """
        self.assertEqual(drawn(Dashboard()), ["Looking for the broker …"])

    def test_everything(self) -> None:
        """
        The head, three lists and the keys, none wider than the terminal.
        """
        dashboard = Dashboard()
        dashboard.show(moment())
        for width in (60, 80, 120, 200):
            lines = drawn(dashboard, width)
            self.assertTrue(all(len(line) <= width for line in lines), width)
            text = "\n".join(lines)
            for said in ("epoch 1", "1,200", "1m30s", "paused", "a001", "1/4", "All are full."):
                self.assertIn(said, text, width)
        self.assertNotIn("rack=7", "\n".join(drawn(dashboard, 80)))
        self.assertIn("rack=7", "\n".join(drawn(dashboard, 120)))

    def test_rates(self) -> None:
        """
        Rates are of the time between two looks, and not over a restart.
        """
        dashboard = Dashboard()
        dashboard.show(moment())
        self.assertIn("in –  out –", drawn(dashboard)[0])
        dashboard.show(moment(102.0, accepted=6, ended=43))
        self.assertIn("in 0.5/s  out 20/s", drawn(dashboard)[0])
        dashboard.show(moment(104.0, epoch=2, accepted=0, ended=1))
        self.assertIn("in –  out –", drawn(dashboard)[0])

    def test_height(self) -> None:
        """
        What there is no room for is left out, and the chosen one never.
        """
        dashboard = Dashboard()
        dashboard.show(moment(agents=300))
        for height in (10, 24, 60):
            for steps in (-1000, 150, 1000):
                dashboard.move(steps)
                lines = drawn(dashboard, 80, height)
                self.assertLessEqual(len(lines), max(height, 19))
                chosen = dashboard.chosen
                assert chosen is not None
                self.assertTrue(any(line.startswith(chosen) for line in lines), (height, chosen))

    def test_control_characters(self) -> None:
        """
        What somebody wrote is shown, never obeyed.
        """
        said = moment()
        dashboard = Dashboard(
            Moment(1.0, NOW, {}, said.stats, (Waiting("j", "n", "s", NOW, "\x1b[31mred"),))
        )
        text = "\n".join(drawn(dashboard))
        self.assertNotIn("\x1b", text)
        self.assertIn("\\x1b[31mred", text)

    def test_drained(self) -> None:
        """
        One that was drained and holds nothing is.
        """
        said = moment()
        said.agents["a000"]["drained"] = said.agents["a001"]["drained"] = True
        said.agents["a001"]["state"] = "draining"
        lines = drawn(Dashboard(said))
        self.assertEqual(
            [line.split()[1] for line in lines if line.startswith("a00")], ["drained", "draining"]
        )


class ChoiceTests(SynchronousTestCase):
    """
    What is chosen.
    """

    def setUp(self) -> None:
        """
        Something to choose from.
        """
        self.dashboard = Dashboard()
        self.dashboard.show(moment(agents=3))

    def test_move(self) -> None:
        """
        Up and down, and not over the ends.
        """
        self.assertEqual((self.dashboard.panel, self.dashboard.chosen), ("agents", "a000"))
        for steps, chosen in ((1, "a001"), (5, "a002"), (-1, "a001"), (-9, "a000")):
            self.dashboard.move(steps)
            self.assertEqual(self.dashboard.chosen, chosen)

    def test_turn(self) -> None:
        """
        Each list has its own choice.
        """
        self.dashboard.move(1)
        self.dashboard.turn(1)
        self.assertEqual((self.dashboard.panel, self.dashboard.chosen), ("waiting", "j1"))
        self.dashboard.turn(1)
        self.assertEqual((self.dashboard.panel, self.dashboard.chosen), ("services", "echo"))
        self.dashboard.turn(1)
        self.assertEqual(self.dashboard.chosen, "a001")

    def test_gone(self) -> None:
        """
        When what was chosen is gone, the first is; when all are, nothing.
        """
        self.dashboard.move(2)
        self.dashboard.show(moment(agents=1))
        self.assertEqual(self.dashboard.chosen, "a000")
        self.dashboard.show(moment(agents=0))
        self.assertIsNone(self.dashboard.chosen)
        self.dashboard.move(1)
        drawn(self.dashboard)
