"""
Tests of L{jobroute.broker.replies}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.replies import NOTES
from jobroute.config import Limits
from jobroute.interfaces import AnswerKind
from jobroute.model import ReplyKind
from tests.broker.kit import Kit


class ProgressTests(SynchronousTestCase):
    """
    Progress and partial results.
    """

    def setUp(self) -> None:
        self.kit = Kit(Limits(partials=3))
        self.agent = self.kit.agent()

    def refused(self) -> int:
        """
        How many partial results were refused.
        """
        return self.kit.count("partials_refused")

    def test_progress(self) -> None:
        """
        Progress goes to those who asked for it, at once and not stored.
        """
        told = self.kit.call(stream=["progress"])
        untold = self.kit.ask("CALL", service="s", token="t" * 16)
        self.agent.reply(ReplyKind.PROGRESS, value=0.5)
        self.assertEqual(
            told.answers,
            [
                (
                    AnswerKind.PROGRESS,
                    {"job": told.answers[0][1]["job"], "index": 0, "attempt": 1, "value": 0.5},
                    (),
                )
            ],
        )
        self.assertEqual(untold.answers, [])

    def test_partials(self) -> None:
        """
        Partial results are stored, acknowledged when they are, and told in
        order before the result.
        """
        self.kit.submit(job="j")
        wait = self.kit.ask("WAIT", job="j", stream=["partial"])
        self.kit.hold = True
        self.agent.partial(1, b"one")
        self.assertEqual((wait.answers, self.agent.route.of("ack")), ([], []))
        self.kit.hold = False
        self.agent.partial(2, b"two")
        part = self.agent.last.part
        self.assertEqual(self.agent.route.of("ack"), [[part, 1, 1], [part, 1, 2]])
        self.agent.result(None, b"all", partials=2)
        told = [(v["sequence"], frames) for v, frames in wait.of(AnswerKind.PARTIAL)]
        self.assertEqual(told, [(1, (b"one",)), (2, (b"two",))])
        self.assertEqual(wait.payload, (b"all",))
        self.assertEqual((self.refused(), self.kit.count("partials")), (0, 2))

    def test_gap(self) -> None:
        """
        One that comes too early is refused and not acknowledged.
        """
        self.kit.submit(job="j")
        self.agent.partial(2, b"two")
        self.assertEqual((self.refused(), self.agent.route.of("ack")), (1, []))
        self.agent.partial(1, b"one")
        self.agent.partial(2, b"two")
        self.assertEqual([a[2] for a in self.agent.route.of("ack")], [1, 2])

    def test_double(self) -> None:
        """
        One that comes twice is acknowledged twice, and told once.
        """
        self.kit.submit(job="j")
        wait = self.kit.ask("WAIT", job="j", stream=["partial"])
        self.agent.partial(1, b"one")
        self.agent.partial(1, b"uno")
        self.assertEqual((self.refused(), len(self.agent.route.of("ack"))), (1, 2))
        self.assertEqual([f for _, f in wait.of(AnswerKind.PARTIAL)], [(b"one",)])

    def test_limit(self) -> None:
        """
        At the limit all is well; one past it the part fails, and the agent is
        to stop.
        """
        self.kit.submit(job="j")
        for sequence in (1, 2, 3):
            self.agent.partial(sequence)
        self.assertEqual(self.refused(), 0)
        self.agent.partial(4)
        (part,) = self.kit.ask("WAIT", job="j").result["parts"]
        self.assertEqual(
            (part["verdict"], part["reason"]), ("failed", "It has more than 3 partial results.")
        )
        self.assertEqual(self.agent.route.of("cancel"), [[self.agent.last.part, 1]])
        self.agent.cancelled()
        self.assertEqual(self.kit.left(), {})

    def test_missing(self) -> None:
        """
        A result is not taken before all its partial results came.
        """
        reply = self.kit.call()
        self.agent.partial(1)
        self.agent.result(None, b"all", partials=2)
        self.assertEqual((reply.answers, self.agent.route.agent.outstanding), ([], 1))
        self.agent.partial(2)
        self.agent.result(None, b"all", partials=2)
        self.assertEqual(reply.payload, (b"all",))

    def test_anew(self) -> None:
        """
        Another attempt counts from 1 again.
        """
        self.kit.submit(job="j", attempts=2)
        wait = self.kit.ask("WAIT", job="j", stream=["partial"])
        self.agent.partial(1, b"lost")
        self.agent.leave()
        second = self.kit.agent("b")
        second.partial(1, b"one")
        second.result(partials=1)
        self.assertEqual(
            [(v["attempt"], v["sequence"], f) for v, f in wait.of(AnswerKind.PARTIAL)],
            [(1, 1, (b"lost",)), (2, 1, (b"one",))],
        )
        self.assertTrue(wait.done)

    def test_lost_before_commit(self) -> None:
        """
        A partial result is not told when another attempt was made before it
        was on disk: that one's are counted from 1 again.
        """
        self.kit.submit(job="j", attempts=2)
        wait = self.kit.ask("WAIT", job="j", stream=["partial"])
        other = self.kit.agent("b")
        self.kit.hold = True
        self.agent.partial(1, b"one")
        self.agent.leave()
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(other.last.attempt, 2)
        self.assertEqual([v["attempt"] for v, _ in wait.of(AnswerKind.PARTIAL)], [])
        other.partial(1, b"one")
        self.assertEqual([v["attempt"] for v, _ in wait.of(AnswerKind.PARTIAL)], [2])


class LostTests(SynchronousTestCase):
    """
    Agents that live on when what worked for them has died.
    """

    def test_lost(self) -> None:
        """
        The attempt is lost, acknowledged, and its slot free for the next; the
        last one's reason is the part's.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.submit(job="j", attempts=2)
        first = agent.last
        agent.reply(ReplyKind.LOST, value="It died.")
        self.assertEqual(agent.route.of("ack"), [[first.part, 1, 0]])
        self.assertEqual((agent.last.part, agent.last.attempt), (first.part, 2))
        self.assertEqual(kit.ask("LIST").result["a"]["outstanding"], 1)
        agent.reply(ReplyKind.LOST, first, value="It died.")
        self.assertEqual(kit.ask("LIST").result["a"]["outstanding"], 1)
        agent.reply(ReplyKind.LOST, value="It died again.")
        [part] = kit.ask("JOB", job="j").result["parts"]
        self.assertEqual((part["verdict"], part["reason"]), ("lost", "It died again."))
        self.assertEqual(kit.ask("LIST").result["a"]["outstanding"], 0)
        # Nobody lost an agent.
        self.assertEqual(kit.count("agents_lost"), 0)

    def test_cancelling(self) -> None:
        """
        What dies while it is being cancelled is cancelled.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.submit(job="j")
        kit.ask("CANCEL", job="j")
        agent.reply(ReplyKind.LOST, value="It died.")
        self.assertEqual(kit.verdicts("j"), {"cancelled": 1})


class RefusedTests(SynchronousTestCase):
    """
    Replies that don't count.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.agent = self.kit.agent("a")

    def refusals(self, job: str = "j") -> list[tuple[Any, ...]]:
        """
        The notes of refused replies in a job's history.
        """
        events = self.kit.ask("JOB", job=job).result["events"]
        return [
            (e["index"], e["attempt"], e["agent"], e["reply"], e["reason"])
            for e in events
            if e["kind"] == "reply.refused"
        ]

    def test_late(self) -> None:
        """
        The late result of a frozen agent is refused, counted, noted, and
        acknowledged, and changes nothing.
        """
        self.kit.submit(job="j", attempts=2)
        frozen, delivery = self.agent, self.agent.last
        other = self.kit.agent("b")
        # The agent is lost, and comes back as what it was.
        self.kit.advance(11, other)
        self.assertEqual(other.last.attempt, 2)
        frozen.result(delivery, b"late")
        self.assertEqual(frozen.route.said[-1], ("reregister",))
        frozen.register()
        frozen.result(delivery, b"late")
        self.assertEqual(self.kit.count("replies_refused"), 1)
        self.assertEqual(frozen.route.of("ack"), [[delivery.part, 1, 0]])
        other.result(None, b"right")
        self.assertEqual(self.kit.ask("WAIT", job="j").payload, (b"right",))
        self.assertEqual(
            self.refusals(),
            [(0, 1, "a", "result", "It is over, or was never given to that agent.")],
        )

    def test_double(self) -> None:
        """
        A second result is refused, also if it is another one.
        """
        self.kit.submit(job="j")
        self.agent.result(None, b"one")
        self.agent.reply(ReplyKind.FAILURE, None, value="No!")
        self.assertEqual(self.kit.ask("WAIT", job="j").payload, (b"one",))
        self.assertEqual([r[3] for r in self.refusals()], ["failure"])
        self.assertEqual(len(self.agent.route.of("ack")), 2)

    def test_of_another(self) -> None:
        """
        Nobody answers for a part that another agent was given.
        """
        other = self.kit.agent("b")
        self.kit.submit(job="j")
        delivery = self.agent.last
        other.result(delivery, b"forged")
        self.assertEqual(self.parts_done(), 0)
        self.assertEqual([r[2] for r in self.refusals()], ["b"])
        self.agent.result()
        self.assertEqual(self.parts_done(), 1)

    def parts_done(self) -> int:
        """
        How many parts of the job are done.
        """
        parts = self.kit.ask("JOB", job="j").result["parts"]
        return sum(part["state"] == "done" for part in parts)

    def test_after_the_limit(self) -> None:
        """
        A result that comes after the run limit is refused, frees the slot,
        and is acknowledged when the verdict is on disk.
        """
        self.kit.submit(job="j", run_limit=1)
        self.kit.hold = True
        self.kit.advance(2, self.agent)
        self.agent.partial(1)
        self.agent.result()
        self.assertEqual(self.agent.route.of("ack"), [])
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(len(self.agent.route.of("ack")), 2)
        self.assertEqual(self.kit.verdicts("j"), {"timed_out": 1})
        self.assertEqual([r[3] for r in self.refusals()], ["partial", "result"])
        self.assertEqual(self.kit.left(), {})

    def test_unknown(self) -> None:
        """
        Numbers that were never given are counted, and noted nowhere.
        """
        self.kit.call()
        before = self.kit.broker.events.number
        for part, attempt in ((0, 0), (2**62, 1), (10**9, 7)):
            self.kit.broker.agents.replied(
                self.agent.route, part, attempt, ReplyKind.RESULT, "", 0, ()
            )
        self.assertEqual(self.kit.count("replies_refused"), 3)
        self.assertEqual(self.kit.broker.events.number, before)

    def test_nothing_hangs_on_it(self) -> None:
        """
        Late progress is not worth a word.
        """
        self.kit.submit(job="j")
        self.agent.result()
        said = len(self.agent.route.said)
        self.agent.reply(ReplyKind.PROGRESS, value=1)
        self.agent.reply(ReplyKind.STARTED)
        self.assertEqual((len(self.agent.route.said), self.refusals()), (said, []))

    def test_raving(self) -> None:
        """
        An agent that raves does not fill the store.
        """
        self.kit.submit(job="j")
        self.agent.result()
        for _ in range(NOTES + 5):
            self.agent.result()
        self.assertEqual(self.kit.count("replies_refused"), NOTES + 5)
        self.assertEqual(len(self.refusals()), NOTES)

    def test_stopped_unasked(self) -> None:
        """
        An agent that stops what it was not asked to has lost the attempt; the
        part goes on without it.
        """
        self.kit.submit(job="j", attempts=2)
        self.agent.cancelled()
        self.assertEqual(self.agent.last.attempt, 2)
        self.assertEqual(self.agent.route.of("ack"), [[self.agent.last.part, 1, 0]])
        self.agent.cancelled(running=True)
        self.assertEqual(self.kit.verdicts("j"), {"lost": 1})
        self.assertEqual(self.agent.route.agent.outstanding, 1)
        self.agent.released()
        self.assertEqual((len(self.refusals()), self.kit.left()), (2, {}))

    def test_released_too_early(self) -> None:
        """
        The slot of an attempt that counts is not given back.
        """
        self.kit.submit(job="j")
        self.agent.released()
        self.assertEqual(self.agent.route.agent.outstanding, 1)

    def test_result_of_what_lingers(self) -> None:
        """
        A result after C{cancelled} is refused, and frees the slot.
        """
        self.kit.submit(job="j")
        self.kit.ask("CANCEL", job="j")
        self.agent.cancelled(running=True)
        self.agent.result()
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        self.assertEqual(([r[3] for r in self.refusals()], self.kit.left()), (["result"], {}))
