"""
Tests of L{jobroute.broker.recovery}: epochs, and what comes back.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.numbers import BLOCK
from jobroute.interfaces import AnswerKind
from jobroute.model import AgentRecord, Event
from tests.broker.kit import Kit


class RecoveryTests(SynchronousTestCase):
    """
    The broker goes on where it ended.
    """

    def setUp(self) -> None:
        self.kit = Kit()

    def test_epoch(self) -> None:
        """
        Each life has the next epoch, and its numbers and events go on.
        """
        self.kit.submit(job="i")
        number = self.kit.ask("JOB", job="i").result["number"]
        event = self.kit.broker.events.number
        self.kit.crash()
        self.assertEqual(self.kit.broker.gauges()["epoch"], 2)
        self.kit.submit(job="j")
        self.assertGreater(self.kit.ask("JOB", job="j").result["number"], number)
        self.assertEqual(self.kit.broker.events.number, event + 2)

    def test_numbers_of_calls(self) -> None:
        """
        The numbers of calls, which are not stored, are not used again.
        """
        agent = self.kit.agent()
        self.kit.call()
        part = agent.last.part
        self.kit.crash()
        again = self.kit.agent("b")
        self.kit.call()
        self.assertGreaterEqual(again.last.part, part + BLOCK // 2)

    def test_queued(self) -> None:
        """
        Parts that waited wait again, in their order, with what is theirs.
        """
        for number, priority in enumerate((0, 5, 0)):
            self.kit.submit(b"%d" % number, job=f"j{number}", priority=priority, header=number)
        self.kit.crash()
        agent = self.kit.agent()
        for _ in range(3):
            agent.result()
        self.assertEqual(
            [(d.job, d.payload, d.header) for d in agent.deliveries],
            [("j1", (b"1",), b"1"), ("j0", (b"0",), b"0"), ("j2", (b"2",), b"2")],
        )
        self.assertEqual(self.kit.left(), {})

    def test_submitted_again(self) -> None:
        """
        What makes a job that job is read from the store when it is submitted
        again, and remembered.
        """
        first = self.kit.submit(b"x", job="j").result
        self.kit.crash()
        same = {**first, "existing": True, "state": "queued"}
        self.assertEqual(self.kit.submit(b"y", job="j").code, "job-conflict")
        self.assertEqual(self.kit.submit(b"x", job="j").result, same)
        self.patch(type(self.kit.disk), "find", None)
        self.assertEqual(self.kit.submit(b"x", job="j").result, same)
        self.assertEqual(self.kit.submit(b"y", job="j").code, "job-conflict")

    def test_running(self) -> None:
        """
        A part that was running stays with its agent, which is suspect, is
        given nothing, and is welcome again when it is heard.
        """
        agent = self.kit.agent("a", slots=2)
        self.kit.submit(b"x", job="j")
        delivery = agent.last
        self.kit.crash()
        self.assertEqual(self.kit.ask("LIST").result["a"]["state"], "suspect")
        self.kit.submit(job="k")
        back = self.kit.returned(agent)
        self.assertEqual(back.deliveries, [])
        back.beat(delivery)
        self.assertEqual(back.route.of("welcome"), [[1, 2, [(delivery.part, 1)]]])
        self.assertEqual([d.job for d in back.deliveries], ["k"])
        back.result(delivery, b"y")
        self.assertEqual(self.kit.ask("WAIT", job="j").payload, (b"y",))
        self.assertIn("agent.returned", [e.kind for e in self.all_events()])

    def all_events(self) -> list[Event]:
        """
        All events on disk.
        """
        return list(self.kit.disk._tables._events.values())

    def test_result_first(self) -> None:
        """
        The first that an agent says may be its result.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j")
        delivery = agent.last
        self.kit.crash()
        self.kit.returned(agent).result(delivery, b"y")
        self.assertEqual(self.kit.ask("WAIT", job="j").payload, (b"y",))

    def test_registers_first(self) -> None:
        """
        Or it registers again: the same incarnation, the same number.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j")
        delivery = agent.last
        self.kit.crash()
        back = self.kit.returned(agent)
        back.announce()
        back.pong(delivery)
        self.assertEqual(back.route.of("welcome"), [[1, 2, [(delivery.part, 1)]]])

    def test_never_delivered(self) -> None:
        """
        What was stored as given, and never reached the agent, is delivered
        under the same number.
        """
        agent = self.kit.agent("a")
        self.kit.hold = True
        self.kit.submit(b"x", job="j")
        self.kit.disk.commit(report=False)
        self.assertEqual(agent.deliveries, [])
        self.kit.hold = False
        self.kit.crash()
        back = self.kit.returned(agent)
        self.kit.advance(2)
        back.beat()
        self.assertEqual([(d.attempt, d.payload) for d in back.deliveries], [(1, (b"x",))])

    def test_tail_lost(self) -> None:
        """
        What was not on disk was never said, and is not there.
        """
        agent = self.kit.agent("a")
        self.kit.hold = True
        reply = self.kit.submit(job="j")
        self.kit.crash()
        self.kit.hold = False
        self.assertEqual((reply.answers, agent.deliveries), ([], []))
        self.assertEqual(self.kit.ask("WAIT", job="j").code, "no-such-job")
        self.assertFalse(self.kit.submit(job="j").result["existing"])

    def test_verdict_lost(self) -> None:
        """
        A result that was not on disk is not acknowledged, and counts when it
        is said again.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j")
        delivery = agent.last
        self.kit.hold = True
        agent.result(delivery, b"y")
        self.assertEqual(agent.route.of("ack"), [])
        self.kit.crash()
        self.kit.hold = False
        back = self.kit.returned(agent)
        back.result(delivery, b"y")
        self.assertEqual(len(back.route.of("ack")), 1)
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 1})

    def test_grace(self) -> None:
        """
        What nobody confirms within the grace period is lost, or tried again.
        """
        self.kit.agent("a", slots=2)
        self.kit.submit(job="j")
        self.kit.submit(job="k", attempts=2)
        self.kit.crash()
        other = self.kit.agent("b")
        self.kit.advance(29, other)
        self.assertEqual((len(self.kit.broker.roster), other.deliveries), (2, []))
        self.kit.advance(1.5, other)
        (part,) = self.kit.ask("WAIT", job="j").result["parts"]
        self.assertEqual(part["verdict"], "lost")
        self.assertIn("did not come back", part["reason"])
        self.assertEqual((other.last.job, other.last.attempt), ("k", 2))

    def test_new_incarnation(self) -> None:
        """
        An agent that started anew meanwhile does not wait for the grace
        period of what it was.
        """
        self.kit.agent("a")
        self.kit.submit(job="j", attempts=2)
        self.kit.crash()
        again = self.kit.stranger("a")
        again.announce()
        again.pong()
        self.kit.advance(2)
        self.assertEqual(again.route.of("welcome"), [[1, 2, []]])
        self.assertEqual(again.last.attempt, 2)

    def test_gone(self) -> None:
        """
        Agents that left or were lost don't come back, but their names keep
        their numbers.
        """
        self.kit.agent("a").leave()
        self.kit.crash()
        self.assertEqual(self.kit.ask("LIST").result, {})
        self.assertEqual(self.kit.agent("b").route.of("welcome")[0][0] > 1, True)
        self.assertEqual(self.kit.agent("a").route.of("welcome")[0][0], 1)

    def test_cancelling(self) -> None:
        """
        A cancel goes on.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j")
        delivery = agent.last
        self.kit.ask("CANCEL", job="j")
        self.kit.crash()
        back = self.kit.returned(agent)
        back.beat(delivery)
        self.kit.advance(3, back)
        self.assertIn([delivery.part, 1], back.route.of("cancel"))
        back.cancelled(delivery)
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})

    def test_call(self) -> None:
        """
        A call is gone: its agent is told to drop it, and its outcome is
        unknown.
        """
        agent = self.kit.agent("a")
        self.kit.call(token="t" * 16)
        delivery = agent.last
        self.kit.crash()
        back = self.kit.returned(agent)
        back.beat(delivery)
        self.assertEqual(back.route.of("cancel"), [[delivery.part, 1]])
        back.result(delivery)
        self.assertEqual(back.route.of("ack"), [[delivery.part, 1, 0]])
        self.assertEqual(self.kit.ask("WAIT", token="t" * 16).code, "unknown-outcome")
        self.assertEqual(self.kit.left(), {})

    def test_limits(self) -> None:
        """
        Deadlines and queue limits go on by the wall clock; the broker's
        absence counts.
        """
        self.kit.submit(job="d", deadline=10)
        self.kit.submit(job="q", queue_limit=10)
        self.kit.submit(job="r", queue_limit=100)
        self.kit.clocks.wall_now += 20
        self.kit.clocks.now = 5.0
        self.kit.crash()
        self.kit.advance(1.5)
        self.assertEqual(self.kit.verdicts("d"), {"expired": 1})
        self.assertEqual(self.kit.verdicts("q"), {"expired": 1})
        self.assertEqual(self.kit.broker.gauges()["jobs"], 1)

    def test_queue_limit_of_another_attempt(self) -> None:
        """
        A part that was tried and waits again is not expired for the time
        before.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j", queue_limit=5, attempts=2)
        self.kit.advance(20, agent)
        agent.leave()
        self.kit.crash()
        self.kit.advance(4)
        self.assertEqual(self.kit.broker.gauges()["queued"], 1)
        self.kit.advance(2)
        self.assertEqual(self.kit.verdicts("j"), {"expired": 1})

    def test_run_limit(self) -> None:
        """
        The run limit begins anew.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j", run_limit=5)
        delivery = agent.last
        self.kit.crash()
        back = self.kit.returned(agent)
        back.beat(delivery)
        self.kit.advance(4.5, back)
        self.assertEqual(self.kit.broker.gauges()["jobs"], 1)
        self.kit.advance(1, back)
        self.assertEqual(self.kit.verdicts("j"), {"timed_out": 1})

    def test_partials(self) -> None:
        """
        Partial results go on, and a wait is told the stored ones first.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j")
        agent.partial(1, b"one")
        delivery = agent.last
        self.kit.crash()
        back = self.kit.returned(agent)
        wait = self.kit.ask("WAIT", job="j", stream=["partial"])
        back.route.deliver(delivery)
        back.partial(1, b"one")
        back.partial(2, b"two")
        back.result(delivery, partials=2)
        self.assertEqual([v["sequence"] for v, _ in wait.of(AnswerKind.PARTIAL)], [1, 2])
        self.assertTrue(wait.done)

    def test_done_parts(self) -> None:
        """
        A job goes on with those of its parts that are not done, and its
        outcome has all results.
        """
        a, b = self.kit.agent("a"), self.kit.agent("b")
        self.kit.submit(job="j", target="all")
        a.result(None, b"from a")
        delivery = b.last
        self.kit.crash()
        self.kit.returned(b).result(delivery, b"from b")
        wait = self.kit.ask("WAIT", job="j")
        self.assertEqual(
            (wait.result["verdicts"], wait.payload), ({"succeeded": 2}, (b"from a", b"from b"))
        )
        self.assertEqual(self.kit.left(), {})

    def test_same_id(self) -> None:
        """
        A job id means the same job after a restart.
        """
        self.kit.submit(b"x", job="j")
        self.kit.crash()
        self.assertTrue(self.kit.submit(b"x", job="j").result["existing"])
        self.assertEqual(self.kit.submit(b"y", job="j").code, "job-conflict")

    def test_damaged_agent(self) -> None:
        """
        An agent whose record cannot be read does not stop the broker; what it
        held is lost, or tried again if it may be.
        """
        self.kit.agent("a", slots=2)
        self.kit.submit(job="j", attempts=2)
        self.kit.submit(job="once")
        agents = self.kit.disk._tables._agents
        agents["a"] = AgentRecord("a", 1, agents["a"].incarnation, b"{")
        self.kit.crash()
        self.assertEqual(self.kit.ask("LIST").result, {})
        again = self.kit.agent("a")
        self.assertEqual((again.route.of("welcome")[0][0], again.last.job), (1, "j"))
        self.assertEqual((again.last.attempt, self.kit.verdicts("once")), (2, {"lost": 1}))

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 12), st.lists(st.integers(0, 5), max_size=25))
    def test_any_crash(self, committed: int, steps: list[int]) -> None:
        """
        Whatever was committed of whatever was done: what was answered is
        still so, and after the crash everything comes to one verdict.
        """
        kit = Kit()
        agent = kit.agent("a", slots=3)
        kit.hold = True
        replies = {}
        for number, step in enumerate(steps):
            if step in (0, 1):
                replies[f"j{number}"] = kit.submit(job=f"j{number}", attempts=1 + step)
            elif step == 2 and agent.deliveries:
                agent.result(agent.deliveries[number % len(agent.deliveries)])
            elif step == 3 and replies:
                kit.ask("CANCEL", job=sorted(replies)[number % len(replies)])
            elif step == 4 and agent.deliveries:
                agent.partial(1, b"x")
            elif step == 5:
                kit.commit()
        for _ in range(committed):
            if kit.disk.pending:
                kit.disk.commit(kit.disk.pending[0], report=committed % 2 == 0)
        acknowledged = {job for job, reply in replies.items() if reply.answers}
        kit.crash()
        kit.hold = False
        stored = {job["job"]: job["state"] for job in kit.ask("JOBS").result["jobs"]}
        self.assertLessEqual(acknowledged, set(stored))
        kit.advance(31, step=1.0)
        other = kit.agent("b", slots=30)
        for delivery in other.deliveries:
            other.result(delivery)
        for job in stored:
            self.assertEqual(sum(kit.verdicts(job).values()), 1)
        self.assertEqual(kit.left(), {})
