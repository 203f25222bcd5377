"""
What tests of retries have in common.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from jobroute.model import Advice, ReplyKind
from tests.broker.kit import FakeAgent, Kit, Reply

#: Each further delay is as long as it says.
PLAIN = {"on": ["failed"], "jitter": 0}


class RetryCase(SynchronousTestCase):
    """
    Has a broker, an agent, and a job that is worth several attempts.
    """

    def setUp(self) -> None:
        """
        Start a broker and an agent.
        """
        self.kit = Kit(Limits(queued_parts=2))
        self.agent = self.kit.agent("a")

    def submit(self, retry: Any = PLAIN, **properties: Any) -> Reply:
        """
        Submit the job, which is worth three attempts.
        """
        return self.kit.submit(b"p", **{"job": "j", "attempts": 3, "retry": retry, **properties})

    def failed(self, advice: Advice | None = None, agent: FakeAgent | None = None) -> None:
        """
        Fail at the last attempt.
        """
        failing = agent or self.agent
        d = failing.last
        failing.agents.replied(
            failing.route, d.part, d.attempt, ReplyKind.FAILURE, "no luck", 0, (), advice
        )
        self.kit.settle()

    def why(self) -> tuple[str, str]:
        """
        Why the job waits.
        """
        [said] = self.kit.ask("WHY", job="j").result["parts"]
        return said["code"], said["why"]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """
        The events of the job of a kind.
        """
        events = self.kit.ask("JOB", job="j").result["events"]
        return [event for event in events if event["kind"] == kind]
