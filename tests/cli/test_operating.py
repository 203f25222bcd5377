"""
Tests for L{jobroute.cli.operating}.
"""

from __future__ import annotations

from typing import Any

from jobroute.cli import operating
from jobroute.errors import NoSuchAgent
from tests.cli.support import CommandTestCase

DRAINED = {"agent": "a1", "drained": True, "outstanding": 2}


class OperatingTests(CommandTestCase):
    """
    What is asked, and what is said.
    """

    def setUp(self) -> None:
        """
        An agent that holds two parts, and finishes one with each look.
        """
        super().setUp()
        self.held = 2
        self.slept: list[float] = []
        self.client.answers["drain"] = DRAINED
        self.client.answers["agents"] = self.agents
        self.patch(operating, "sleep", self.slept.append)

    def agents(self) -> dict[str, Any]:
        """
        What is left.
        """
        self.held -= 1
        return {"a1": {"outstanding": self.held}}

    def test_drain(self) -> None:
        """
        It says what the agent still holds, and does not wait for it.
        """
        self.assertEqual(
            self.output_of("drain", "a1"), "Agent a1 is drained; it still holds 2 parts.\n"
        )
        self.assertEqual(self.json_of("drain", "a1"), DRAINED)
        self.assertEqual(self.client.asked("drain"), (("a1",), {}))
        self.assertEqual(self.held, 2)

    def test_wait(self) -> None:
        """
        It waits until nothing is held, or the agent is gone.
        """
        said = self.output_of("drain", "a1", "--wait")
        self.assertEqual(said, "Agent a1 is drained; it holds nothing.\n")
        self.assertEqual(len(self.slept), 2)
        self.client.answers["agents"] = {}
        self.assertEqual(self.json_of("drain", "a1", "--wait")["outstanding"], 0)

    def test_wait_timeout(self) -> None:
        """
        When the time is over the status is 1, and what is held is said.
        """
        self.client.answers["agents"] = {"a1": {"outstanding": 1}}
        done = self.run_command("drain", "a1", "--wait", "--timeout", "20ms")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("it still holds 1 part.", done.stdout)

    def test_pause(self) -> None:
        """
        It says how many wait.
        """
        self.client.answers["pause"] = {"service": "s", "paused": True, "queued": 1}
        self.assertEqual(
            self.output_of("pause", "s"), "Service s is paused; 1 part in its queue.\n"
        )
        self.assertEqual(self.client.asked("pause"), (("s",), {}))

    def test_resume(self) -> None:
        """
        A service, or an agent.
        """
        self.client.answers["resume"] = {}
        self.assertEqual(self.output_of("resume", "s"), "Service s goes on.\n")
        self.assertEqual(self.client.asked("resume")[1], {"agent": None, "service": "s"})
        self.assertEqual(self.output_of("resume", "--agent", "a"), "Agent a has work again.\n")
        self.assertEqual(self.client.asked("resume")[1], {"agent": "a", "service": None})

    def test_wrong(self) -> None:
        """
        Nothing, and both, are wrong; so is a name that nobody ever had.
        """
        for arguments in (("resume",), ("resume", "s", "--agent", "a"), ("drain", "no name!")):
            self.assertEqual(self.run_command(*arguments).exit_code, 2, arguments)
        self.client.answers["drain"] = NoSuchAgent("No agent a9 was ever seen.")
        done = self.run_command("drain", "a9")
        self.assertEqual((done.exit_code, done.stderr), (3, "No agent a9 was ever seen.\n"))
