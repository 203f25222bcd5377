"""
Tests of L{jobroute.broker.retries}, and of parts that wait for their next
attempt.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.parts import Job, Part
from jobroute.broker.retries import Retries
from jobroute.model import Advice, Retry, Target, Verdict
from tests.broker.retrying import PLAIN, RetryCase


def part(made: int = 1, attempts: int = 9, **retry: Any) -> Part:
    """
    A part of which some attempts were made.
    """
    how = Retry(**{"on": (Verdict.FAILED,), "jitter": 0.0, **retry})
    job = Job(
        1, "n", "1", "c", "s", Target(), b"", 0, attempts, None, None, 9.0, 0.0, 9.0, False, None
    )
    job.retry = how
    return Part(2, job, 0, None, made=made)


class Middle(Random):
    """
    Chance that is always in the middle.
    """

    def random(self) -> float:
        """
        The middle.
        """
        return 0.5


class PauseTests(SynchronousTestCase):
    """
    L{Retries.pause} says whether and when.
    """

    def pause(self, *of: Any, **retry: Any) -> float | None:
        """
        The pause of a part with these.
        """
        made, advice = (*of, None)[:2] if of else (1, None)
        return Retries(Middle()).pause(part(made, **retry), Verdict.FAILED, advice)

    def test_default(self) -> None:
        """
        What is lost is worth another attempt, at once; nothing else is.
        """
        retries, plain = Retries(Middle()), part()
        plain.job.retry = None
        pauses = {verdict: retries.pause(plain, verdict) for verdict in Verdict}
        self.assertEqual(pauses.pop(Verdict.LOST), 0.0)
        self.assertEqual(set(pauses.values()), {None})

    def test_grows(self) -> None:
        """
        Each delay is longer than the one before, up to the longest.
        """
        found = [self.pause(made, delay=2.0, factor=3.0, max_delay=20.0) for made in (1, 2, 3, 4)]
        self.assertEqual(found, [2.0, 6.0, 18.0, 20.0])
        self.assertEqual(self.pause(1000, factor=100.0, attempts=2000), 60.0)

    def test_attempts(self) -> None:
        """
        There is none after the last.
        """
        self.assertEqual(self.pause(8, factor=1.0), 1.0)
        self.assertIsNone(self.pause(9))

    def test_jitter(self) -> None:
        """
        Chance takes a share of it off.
        """
        self.assertEqual(self.pause(jitter=1.0), 0.5)
        self.assertEqual(self.pause(jitter=0.5), 0.75)

    @given(st.integers(0, 99), st.integers(1, 8), st.floats(0.0, 1.0))
    def test_bounds(self, seed: int, made: int, jitter: float) -> None:
        """
        Never more than the longest, never less than the share allows.
        """
        pause = Retries(Random(seed)).pause(
            part(made, delay=5.0, max_delay=30.0, jitter=jitter), Verdict.FAILED
        )
        assert pause is not None
        self.assertLessEqual(pause, 30.0)
        self.assertGreaterEqual(pause, 5.0 * (1.0 - jitter) - 1e-9)

    def test_advice(self) -> None:
        """
        The agent may say when, or that it is not worth it.
        """
        self.assertIsNone(self.pause(1, Advice(retry=False)))
        self.assertEqual(self.pause(1, Advice(after=90.0)), 90.0)
        self.assertEqual(self.pause(1, Advice(after=0.0)), 0.0)
        self.assertEqual(self.pause(1, Advice(after=90.0), jitter=1.0), 90.5)
        self.assertEqual(self.pause(1, Advice()), 1.0)
        self.assertEqual(self.pause(1, Advice(), jitter=1.0), 0.5)


class WaitingTests(RetryCase):
    """
    A part whose attempt failed is offered again when it is due.
    """

    def test_failed(self) -> None:
        """
        It is given again when it is due, not before, until no attempt is left.
        """
        self.submit()
        for pause in (1.0, 2.0):
            self.failed()
            made = len(self.agent.deliveries)
            self.kit.advance(pause - 0.1, self.agent, step=0.1)
            self.assertEqual(len(self.agent.deliveries), made)
            self.kit.advance(0.2, self.agent, step=0.1)
            self.assertEqual(len(self.agent.deliveries), made + 1)
        self.failed()
        self.assertEqual(self.kit.verdicts("j"), {"failed": 1})
        self.assertEqual(self.agent.last.attempt, 3)
        again = self.events("part.failed")
        self.assertEqual([event["reason"] for event in again], ["no luck"] * 2)
        self.assertEqual(self.kit.count("parts_queued_again"), 2)
        self.assertEqual(self.kit.left(), {})

    def test_acknowledged(self) -> None:
        """
        The failure is acknowledged when it is on disk that the part waits.
        """
        self.submit()
        self.kit.hold = True
        self.failed()
        self.assertEqual(self.agent.route.of("ack"), [])
        self.kit.commit()
        part = self.agent.last.part
        self.assertEqual(self.agent.route.of("ack"), [[part, 1, 0]])

    def test_success(self) -> None:
        """
        A later attempt may succeed.
        """
        self.submit()
        self.failed()
        self.kit.advance(1.5, self.agent)
        self.agent.result(None, b"r")
        outcome = self.kit.ask("WAIT", job="j")
        self.assertEqual(outcome.result["parts"][0]["attempts"], 2)
        self.assertEqual(outcome.payload, (b"r",))

    def test_not_asked_for(self) -> None:
        """
        Failures are not worth another attempt unless the job says so, and
        nothing is if it says that.
        """
        self.submit(None)
        self.failed()
        self.assertEqual(self.kit.verdicts("j"), {"failed": 1})
        self.submit({"on": []}, job="k")
        self.kit.advance(11.0, step=1.0)
        self.assertEqual(self.kit.verdicts("k"), {"lost": 1})

    def test_why(self) -> None:
        """
        It is queued, and says until when it waits.
        """
        self.submit()
        self.failed()
        code, said = self.why()
        self.assertEqual(code, "not-due")
        self.assertIn("Attempt 1 by agent a is over; attempt 2 may begin in 1.0 seconds", said)
        self.assertIn("2023-11-14 22:13:21 UTC", said)
        gauges = self.kit.broker.gauges()
        self.assertEqual((gauges["queued"], gauges["waiting"], gauges["running"]), (0, 1, 0))
        part = self.kit.ask("JOB", job="j").result["parts"][0]
        self.assertEqual((part["state"], part["due"]), ("queued", self.kit.clocks.wall_now + 1.0))
        self.assertEqual(self.submit().result["state"], "queued")

    def test_counted(self) -> None:
        """
        It counts against the limit of the queue.
        """
        self.submit()
        self.failed()
        other = [self.kit.submit(target={"agents": ["a"]}) for _ in range(3)]
        self.assertEqual(
            [reply.answers[-1][0].value for reply in other], ["result"] * 2 + ["error"]
        )
        self.assertEqual(other[2].code, "busy")

    def test_cancel(self) -> None:
        """
        It is cancelled at once.
        """
        self.submit()
        self.failed()
        self.assertEqual(self.kit.ask("CANCEL", job="j").result["cancelling"], 1)
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        self.kit.advance(5.0, self.agent)
        self.assertEqual(len(self.agent.deliveries), 1)
        self.assertEqual(self.kit.left(), {})

    def test_deadline(self) -> None:
        """
        If the next attempt would begin after the deadline, the verdict is
        given at once.
        """
        self.submit(deadline=2.5)
        self.failed()
        self.kit.advance(1.2, self.agent, step=0.1)
        self.failed()
        self.assertEqual(self.kit.verdicts("j"), {"failed": 1})

    def test_deadline_waiting(self) -> None:
        """
        The deadline does not wait for the moment when the part is due.
        """
        self.kit.submit(job="k", attempts=3, retry=PLAIN, deadline=3.0)
        self.failed(Advice(after=2.9))
        self.kit.clocks.advance(3.1)
        self.kit.broker.tick()
        self.kit.settle()
        self.assertEqual(self.kit.verdicts("k"), {"expired": 1})
        self.assertEqual(self.kit.left(), {})

    def test_queue_limit(self) -> None:
        """
        The queue limit counts from when it is due.
        """
        self.submit(queue_limit=1.5, retry={**PLAIN, "delay": 5})
        self.failed()
        self.kit.call(target={"agents": ["a"]})
        self.kit.advance(6.0, self.agent, step=0.1)
        self.assertEqual(self.why()[0], "all-full")
        self.kit.advance(1.0, self.agent, step=0.1)
        self.assertEqual(self.kit.verdicts("j"), {"expired": 1})

    def test_draining(self) -> None:
        """
        It is not given to an agent that has begun to leave meanwhile.
        """
        self.submit()
        self.failed()
        self.agent.drain()
        self.kit.advance(2.0, self.agent)
        self.assertEqual(self.why()[0], "none-ready")
        other = self.kit.agent("b")
        self.assertEqual(other.last.attempt, 2)

    def test_nobody_left(self) -> None:
        """
        The service is not forgotten while a part waits for its moment.
        """
        self.submit()
        self.failed()
        self.agent.leave()
        self.kit.advance(2.0)
        self.assertEqual(self.why()[0], "no-agent")
        self.assertEqual(self.kit.agent("b").last.attempt, 2)

    def test_restart(self) -> None:
        """
        The moment outlives the broker, and so does what the job says.
        """
        self.submit({**PLAIN, "delay": 10}, queue_limit=3)
        self.failed()
        self.kit.crash()
        agent = self.kit.returned(self.agent)
        agent.beat()
        self.assertEqual(self.why()[0], "not-due")
        self.kit.advance(9.5, agent)
        self.assertEqual(agent.deliveries, [])
        self.kit.crash()
        agent = self.kit.returned(self.agent)
        agent.beat()
        self.kit.advance(1.0, agent)
        self.assertEqual(agent.last.attempt, 2)
        self.failed(agent=agent)
        self.kit.advance(20.5, agent)
        self.assertEqual(agent.last.attempt, 3)

    def test_restart_too_late(self) -> None:
        """
        What was due while the broker was away waits in its queue, and its
        queue limit counts from when it was.
        """
        self.submit({**PLAIN, "delay": 10}, queue_limit=5)
        self.failed()
        self.kit.clocks.advance(12.0)
        self.kit.crash()
        self.kit.advance(2.5)
        self.assertEqual(self.why()[0], "none-ready")
        self.kit.advance(1.0)
        self.assertEqual(self.kit.verdicts("j"), {"expired": 1})

    def test_call(self) -> None:
        """
        A call is retried as well, and nothing of that is stored.
        """
        call = self.kit.call(attempts=2, retry={**PLAIN, "delay": 0.5})
        self.failed()
        self.assertEqual(self.kit.broker.gauges()["waiting"], 1)
        self.kit.advance(1.0, self.agent)
        self.agent.result(None, b"r")
        self.assertEqual(call.payload, (b"r",))
        self.assertEqual(self.kit.ask("JOBS").result["jobs"], [])
        self.assertEqual(self.kit.left(), {})

    def test_many(self) -> None:
        """
        A batch shares what it says, and a job of it may say otherwise.
        """
        jobs = [{"job": "j"}, {"job": "k", "retry": None}]
        many = self.kit.ask("SUBMIT_MANY", service="s", jobs=jobs, attempts=2, retry=PLAIN)
        self.assertEqual(len(many.result["jobs"]), 2)
        self.failed()
        self.failed()
        self.assertEqual(self.kit.verdicts("k"), {"failed": 1})
        self.assertEqual(self.why()[0], "not-due")

    def test_another_job(self) -> None:
        """
        The same id with another way to retry is another job.
        """
        self.submit()
        self.assertTrue(self.submit().result["existing"])
        self.assertEqual(self.submit({**PLAIN, "delay": 2}).code, "job-conflict")
        self.assertEqual(self.submit(max_lost=2).code, "job-conflict")

    def test_wrong(self) -> None:
        """
        What is wrong is refused by name.
        """
        for retry, member in (
            ({"on": ["expired"]}, "on"),
            ({"on": ["lost", "lost"]}, "lost twice"),
            ({"delay": -1}, "delay"),
            ({"delay": True}, "delay"),
            ({"factor": 0.5}, "factor"),
            ({"max_delay": 31_536_000}, "max_delay"),
            ({"jitter": 1.5}, "jitter"),
            ({"often": 1}, "often"),
            ("failed", "retry"),
        ):
            reply = self.submit(retry)
            self.assertEqual(reply.code, "bad-property", retry)
            self.assertIn(member, reply.text)
        for most in (0, 1001, 1.5):
            self.assertIn("max_lost", self.submit(max_lost=most).text)
