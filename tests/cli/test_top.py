"""
Tests for L{jobroute.cli.top}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.live import Live

from jobroute.cli.dashboard import Dashboard
from jobroute.cli.top import Top, look, watch
from jobroute.errors import BrokerLost, NoSuchAgent, NoSuchJob
from tests.cli.support import CommandTestCase, StillClock, terminal
from tests.cli.test_dashboard import moment


class PressedKeys:
    """
    Keys that are pressed one after the other.
    """

    def __init__(self, *keys: str | None) -> None:
        self.keys = list(keys)

    def read(self, timeout: float) -> str | None:
        """
        The next one.
        """
        return self.keys.pop(0)


class TopTestCase(CommandTestCase):
    """
    A broker that says always the same.
    """

    def setUp(self) -> None:
        """
        Make it.
        """
        super().setUp()
        said = moment()
        self.client.answers.update(
            agents=said.agents, stats=said.stats, why=[{"why": "All are full."}]
        )
        self.client.answers["drain"] = {"outstanding": 1}
        self.client.answers["cancel"] = 2
        self.dashboard = Dashboard()
        self.dashboard.show(said)
        self.top = Top(self.clients, self.dashboard)

    def clients(self, namespace: str) -> Any:
        """
        The client of a namespace.
        """
        self.client.calls.append(("in", (namespace,), {}))
        return self.client

    def press(self, *keys: str) -> str:
        """
        Press keys.

        @return: what is said then.
        """
        for key in keys:
            self.top.press(key)
        return self.dashboard.note


class KeysTests(TopTestCase):
    """
    What keys do.
    """

    def test_drain(self) -> None:
        """
        C{d} drains the chosen agent, and lets one go on that is drained.
        """
        self.assertIn("still holds 1", self.press("down", "d"))
        self.assertEqual(self.client.asked("drain"), (("a001",), {}))
        assert self.dashboard.moment is not None
        self.dashboard.moment.agents["a001"]["drained"] = True
        self.assertIn("work again", self.press("d"))
        self.assertEqual(self.client.asked("resume"), ((), {"agent": "a001"}))

    def test_pause(self) -> None:
        """
        C{p} pauses the chosen service, and lets one go on that is paused.
        """
        self.assertEqual(self.press("back", "p"), "Service echo is paused.")
        self.assertEqual(self.client.asked("pause"), (("echo",), {}))
        self.assertEqual(self.press("j", "p"), "Service render goes on.")
        self.assertEqual(self.client.asked("resume"), ((), {"service": "render"}))

    def test_cancel(self) -> None:
        """
        C{c} cancels the chosen job, if that is meant.
        """
        self.assertIn("Cancel job j1?", self.press("tab", "c"))
        self.assertEqual(self.press("n"), "")
        self.assertEqual(self.press("y"), "")
        self.assertEqual(self.client.calls, [])
        self.assertIn("2 of its parts", self.press("c", "y"))
        self.assertEqual(self.client.asked("cancel"), (("j1",), {}))
        self.assertEqual(self.client.asked("in"), (("default",), {}))

    def test_elsewhere(self) -> None:
        """
        In the wrong list they say what to do.
        """
        self.assertIn("Choose a service first", self.press("p"))
        self.assertIn("Choose a job that waits first", self.press("c"))
        self.assertIn("Choose an agent first", self.press("tab", "d"))
        self.assertEqual(self.client.calls, [])

    def test_refused(self) -> None:
        """
        What the broker refuses is said.
        """
        self.client.answers["drain"] = NoSuchAgent("No agent a000 was ever seen.")
        self.assertEqual(self.press("d"), "No agent a000 was ever seen.")

    def test_quit(self) -> None:
        """
        C{q} and escape end it; any other key does nothing.
        """
        self.press("x", "page down", "page up", "k")
        self.assertFalse(self.top.over)
        self.press("q")
        self.assertTrue(self.top.over)


class LookTests(TopTestCase):
    """
    What the broker is asked.
    """

    def test_why(self) -> None:
        """
        Each service's next job, and why it waits, in its namespace.
        """
        found = look(self.clients, StillClock())
        self.assertEqual([(w.job, w.why) for w in found.waiting], [("j1", "All are full.")])
        self.assertEqual(found.ended, 3)

    def test_over_meanwhile(self) -> None:
        """
        A job that has ended meanwhile, or was forgotten, has no reason.
        """
        answers: list[Any] = [[], NoSuchJob("Gone.")]
        for answer in answers:
            self.client.answers["why"] = answer
            self.assertEqual(look(self.clients, StillClock()).waiting[0].why, "")


class WatchTests(TopTestCase):
    """
    The command.
    """

    def watch(self, *keys: str | None) -> str:
        """
        Press keys while it is shown.

        @return: all that was shown.
        """
        screen, out = terminal(100)
        console = screen.console
        live = Live(console=console, screen=False, auto_refresh=False)
        with live:
            watch(self.clients, screen, 1.0, PressedKeys(*keys), live, console)
        return out.getvalue()

    def test_watch(self) -> None:
        """
        It is shown, and a key does what it does, until C{q}.
        """
        self.assertIn("All are full.", self.watch(None, "d", "q"))
        self.assertEqual(self.client.asked("drain"), (("a000",), {}))

    def test_no_broker(self) -> None:
        """
        A broker that goes away meanwhile is looked for, and the last of it
        still seen.
        """
        answers: Sequence[Any] = [moment().agents, BrokerLost("It is silent.")]
        left = list(answers)

        def agents() -> Any:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.client.answers["agents"] = agents
        clock = iter(range(100, 10_000, 2))
        self.patch(StillClock, "monotonic", lambda self: float(next(clock)))
        shown = self.watch(None, "q")
        self.assertIn("It is silent.", shown)
        self.assertIn("a001", shown)

    def test_pipe(self) -> None:
        """
        In a pipe it looks once.
        """
        lines = self.output_of("top").splitlines()
        self.assertTrue(lines[0].startswith("jobroute  epoch 1"), lines[0])
        self.assertIn("j1", self.output_of("top", "--once"))
        self.assertIn("rack=7", self.output_of("top"))

    def test_json(self) -> None:
        """
        In JSON there is all that was said.
        """
        said = self.json_of("top")
        self.assertEqual(said["waiting"][0]["why"], "All are full.")
        self.assertEqual(sorted(said["agents"]), ["a000", "a001"])
        self.assertEqual(said["gauges"]["epoch"], 1)
