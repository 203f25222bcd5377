"""
The dispatcher, with everything that it changes, against
L{tests.broker.reference}: Hypothesis does whatever L{tests.broker.machine} can
do to a broker, and after each step all that was written, told and counted is
judged.  Dispatchers that are broken on purpose are found out.

C{JOBROUTE_EXAMPLES=5000 trial tests.broker.test_dispatcher_model} looks longer.
"""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from io import StringIO
from math import inf
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker import deliveries
from jobroute.broker.deliveries import Deliveries
from jobroute.broker.endings import Endings
from jobroute.broker.parts import Attempt, Part
from jobroute.broker.replies import Replies
from jobroute.broker.retries import Retries
from jobroute.broker.roster import Agent, Roster
from jobroute.broker.routing import route
from jobroute.broker.services import Service
from jobroute.model import Verdict
from tests.broker.machine import Machine

#: How many runs, of how many steps at most.
EXAMPLES = int(os.environ.get("JOBROUTE_EXAMPLES", "200"))
STEPS = 60


class DispatcherTests(SynchronousTestCase):
    """
    The dispatcher and its double agree.
    """

    def run_machine(self, examples: int, *phases: Phase) -> None:
        """
        Do something, in so many ways.
        """
        chosen = settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="JOBROUTE_EXAMPLES" not in os.environ,
            database=None,
            phases=phases or tuple(Phase),
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Machine, settings=chosen)

    def test_same(self) -> None:
        """
        Whatever is done.
        """
        self.run_machine(EXAMPLES)

    def assert_noticed(self, place: Any, name: str, broken: Any) -> None:
        """
        Something is broken, and that is noticed.
        """
        self.patch(place, name, broken)
        with redirect_stdout(StringIO()):
            wrong = (AssertionError, KeyError)
            noticed = self.assertRaises(wrong, self.run_machine, 500, Phase.generate)
        self.assertIn("Machine()", "".join(noticed.__notes__))

    def test_one_attempt_too_many(self) -> None:
        """
        A part that is tried once more than it may be.
        """
        lost = Endings.lost

        def generous(endings: Endings, attempt: Attempt, *more: Any) -> None:
            job = attempt.part.job
            job.attempts += 1
            lost(endings, attempt, *more)
            job.attempts -= 1

        self.assert_noticed(Endings, "lost", generous)

    def test_delivered_before_commit(self) -> None:
        """
        An attempt that is sent before it is on disk.
        """
        watch = Deliveries.watch

        def hasty(giving: Deliveries, part: Part, now: float) -> None:
            watch(giving, part, now)
            if part.attempt is not None and part.attempt.sent == inf:
                giving.deliver(part.attempt)

        self.assert_noticed(Deliveries, "watch", hasty)

    def test_slot_kept(self) -> None:
        """
        A slot that is not given back when its part failed.
        """
        release = Deliveries.release

        def stingy(giving: Deliveries, attempt: Attempt) -> None:
            if attempt.part.verdict is not Verdict.FAILED:
                release(giving, attempt)

        self.assert_noticed(Deliveries, "release", stingy)

    def test_stale_reply(self) -> None:
        """
        A reply of an earlier attempt that is taken for the latest.
        """
        replied = Replies.replied

        def gullible(replies: Replies, agent: Agent, key: tuple[int, int], *said: Any) -> None:
            latest = max((held for held in agent.held if held[0] == key[0]), default=key)
            replied(replies, agent, latest, *said)

        def life() -> None:
            machine = Machine()
            machine.two_agents(1)
            machine.submit_any("s", 2, 0, {"on": ["failed"], "delay": 0})
            machine.answer(0, "failure")
            machine.answer_late(0)

        # Chance finds it as well, but not soon.
        life()
        self.patch(Replies, "replied", gullible)
        self.assertRaises(AssertionError, life)

    def test_retried_early(self) -> None:
        """
        A part that has its next attempt before it is due.
        """
        pause = Retries.pause

        def hurried(retries: Retries, *said: Any) -> float | None:
            delay = pause(retries, *said)
            return delay and delay / 2

        self.assert_noticed(Retries, "pause", hurried)

    def test_paused(self) -> None:
        """
        A part of a paused service that is given to an agent all the same.
        """

        def route_on(part: Part, service: Service, roster: Roster) -> Agent | None:
            paused, service.paused = service.paused, False
            agent = route(part, service, roster)
            service.paused = paused
            return agent

        self.assert_noticed(deliveries, "route", route_on)
