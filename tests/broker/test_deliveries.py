"""
Tests of L{jobroute.broker.deliveries}: slots, attempts, and order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from jobroute.errors import StorageError
from jobroute.model import Content, ReplyKind
from tests.broker.kit import FakeAgent, Kit, Reply

#: What may happen in any order.
STEPS = (
    "call submit all result failure refused cancel cancelled lingers released lose time hold "
    "commit bare return"
).split()


class CreditTests(SynchronousTestCase):
    """
    An agent never holds more than it has room for.
    """

    def test_slots_and_prefetch(self) -> None:
        """
        Slots and prefetch together are the room.
        """
        kit = Kit()
        agent = kit.agent(slots=2, prefetch=1)
        for _ in range(5):
            kit.submit()
        self.assertEqual(len(agent.deliveries), 3)
        agent.result(agent.deliveries[0])
        self.assertEqual(len(agent.deliveries), 4)

    def test_least_loaded(self) -> None:
        """
        Parts go where the load is least; among equals to the one used least
        recently.
        """
        kit = Kit()
        big, small = kit.agent("big", slots=4), kit.agent("small", slots=2)
        order = []
        for number in range(6):
            kit.submit(job=f"j{number}")
            order.append("big" if big.deliveries and big.last.job == f"j{number}" else "small")
        self.assertEqual(order, ["big", "small", "big", "small", "big", "big"])
        self.assertEqual(len(small.deliveries), 2)

    @settings(max_examples=120, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=3),
        st.lists(
            st.tuples(
                st.sampled_from(STEPS),
                st.integers(0, 11),
            ),
            max_size=50,
        ),
    )
    def test_never_exceeded(
        self, sizes: list[tuple[int, int]], steps: list[tuple[str, int]]
    ) -> None:
        """
        Whatever happens: an agent that counts what it was given and has not
        ended never counts more than its room, the broker counts the same, and
        everything ends in a verdict.
        """
        kit = Kit()
        agents = [
            kit.agent(str(i), slots=slots, prefetch=prefetch)
            for i, (slots, prefetch) in enumerate(sizes)
        ]
        replies: list[Reply] = []
        jobs: list[str] = []
        for step, number in steps:
            agent = agents[number % len(agents)]
            self.act(kit, agents, agent, step, number, replies, jobs)
            for each in agents:
                route = each.route.agent
                if route is None:
                    continue
                capacity = each.announcement.slots + each.announcement.prefetch
                self.assertLessEqual(len(route.held), capacity)
                given = {(d.part, d.attempt) for d in each.deliveries}
                sent = {k for k, a in route.held.items() if a.sent < float("inf")}
                self.assertLessEqual(sent, given)
            if not kit.hold:
                # Nobody waits for a free agent.
                for service in kit.broker.services:
                    free = any(a.ready and a.credit > 0 for a in service.agents.values())
                    self.assertFalse(free and None in service._lines)
        kit.hold = False
        kit.settle()
        for agent in agents:
            if agent.route.agent is not None:
                agent.leave()
        kit.advance(90000, step=30000)
        for reply in replies:
            self.assertTrue(reply.done)
        for job in jobs:
            self.assertTrue(kit.verdicts(job))
        self.assertEqual(kit.left(), {})

    def act(
        self,
        kit: Kit,
        agents: list[FakeAgent],
        agent: FakeAgent,
        step: str,
        number: int,
        replies: list[Reply],
        jobs: list[str],
    ) -> None:
        """
        Do one thing.
        """
        held = list(agent.route.agent.held) if agent.route.agent else []
        delivery = None
        if agent.deliveries:
            delivery = agent.deliveries[-1 - number % len(agent.deliveries)]
        if step == "call":
            replies.append(kit.call(attempts=1 + number % 3, run_limit=(None, 3)[number % 2]))
        elif step in ("submit", "all"):
            jobs.append(f"j{len(jobs)}")
            target = {"count": 2} if step == "all" else "any"
            reply = kit.submit(job=jobs[-1], attempts=1 + number % 3, target=target)
            if any(kind.value == "error" for kind, _, _ in reply.answers):
                jobs.pop()
        elif step == "cancel" and jobs:
            replies.append(kit.ask("CANCEL", job=jobs[number % len(jobs)]))
        elif step == "time":
            kit.advance(number / 2, *(a for a in agents if a.route.agent))
        elif step == "hold":
            kit.hold = not kit.hold
            kit.settle()
        elif step == "commit":
            kit.commit()
        elif step == "lose" and held:
            agent.leave()
        elif step == "return" and agent.route.agent is None and not kit.hold:
            agent.announcement = kit.stranger(agent.name).announcement
            agent.route = kit.route(agent.announcement.incarnation)
            agent.register()
        elif step == "bare":
            agent.beat()
        elif step == "lingers" and delivery:
            agent.cancelled(delivery, running=True)
        elif step == "released" and delivery:
            agent.released(delivery)
        elif step in ("result", "failure", "refused", "cancelled") and delivery:
            agent.reply(ReplyKind(step), delivery)


class AttemptTests(SynchronousTestCase):
    """
    What becomes of a part whose attempt is lost.
    """

    def setUp(self) -> None:
        self.kit = Kit()

    def test_one_attempt(self) -> None:
        """
        With one attempt it is lost.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j")
        agent.leave()
        outcome = self.kit.ask("WAIT", job="j").result
        self.assertEqual(outcome["parts"][0]["verdict"], "lost")
        self.assertEqual(outcome["parts"][0]["reason"], "Its agent left.")

    def test_another(self) -> None:
        """
        With more it goes to another agent under the next number, before what
        came later.
        """
        first = self.kit.agent("a")
        self.kit.submit(b"x", job="j", attempts=2)
        self.kit.submit(job="later")
        first.leave()
        second = self.kit.agent("b")
        delivery = second.last
        self.assertEqual(
            (delivery.part, delivery.attempt, delivery.payload),
            (first.last.part, 2, (b"x",)),
        )
        second.result()
        self.assertEqual(second.last.job, "later")
        outcome = self.kit.ask("WAIT", job="j").result["parts"][0]
        self.assertEqual((outcome["agent"], outcome["attempts"]), ("b", 2))
        self.assertEqual(
            self.kit.history("j"),
            ["job.accepted", "part.delivered", "part.lost", "part.delivered", "part.ended"],
        )

    def test_none_left(self) -> None:
        """
        The last attempt is the last.
        """
        self.kit.submit(job="j", attempts=3)
        for name in "abc":
            self.kit.agent(name).leave()
        self.assertEqual(self.kit.verdicts("j"), {"lost": 1})
        self.assertEqual(self.kit.count("attempts_lost"), 3)
        self.assertEqual(self.kit.left(), {})

    def test_failure_is_an_answer(self) -> None:
        """
        A failure or a refusal is an answer, and no reason to try again.
        """
        agent = self.kit.agent()
        for kind, verdict in ((ReplyKind.FAILURE, "failed"), (ReplyKind.REFUSED, "refused")):
            reply = self.kit.call(attempts=5)
            agent.reply(kind, None, b"trace", value="It broke.")
            (part,) = reply.result["parts"]
            self.assertEqual((part["verdict"], part["reason"]), (verdict, "It broke."))
            self.assertEqual(reply.payload, (b"trace",))
        self.assertEqual(self.kit.left(), {})

    def test_queue_limit_again(self) -> None:
        """
        The queue limit runs anew when a part is back in the queue.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j", attempts=2, queue_limit=4)
        self.kit.advance(10, agent)
        agent.leave()
        self.kit.advance(3)
        self.assertEqual(self.kit.broker.gauges()["queued"], 1)
        self.kit.advance(2)
        self.assertEqual(self.kit.verdicts("j"), {"expired": 1})


class PayloadTests(SynchronousTestCase):
    """
    Payloads that are not in memory.
    """

    def setUp(self) -> None:
        self.kit = Kit(Limits(payload_cache=0))

    def test_from_disk(self) -> None:
        """
        They are read when an agent is given the job.
        """
        self.kit.submit(b"x" * 10, b"y")
        self.kit.submit()
        agent = self.kit.agent(slots=2)
        self.assertEqual([d.payload for d in agent.deliveries], [(b"x" * 10, b"y"), ()])

    def test_ended_meanwhile(self) -> None:
        """
        An attempt that ended while its payload was read is not delivered.
        """
        waiting: list[Deferred[dict[int, Content]]] = []

        def contents(disk: Any, jobs: Sequence[int]) -> Deferred[dict[int, Content]]:
            waiting.append(Deferred())
            return waiting[-1]

        self.kit.submit(b"x", job="j")
        self.patch(type(self.kit.disk), "contents", contents)
        agent = self.kit.agent()
        self.kit.ask("CANCEL", job="j")
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        waiting[0].callback({2: Content(b"null", (b"x",))})
        self.assertEqual((agent.deliveries, self.kit.left()), ([], {}))

    def test_unreadable(self) -> None:
        """
        A job whose payload cannot be read fails, and says why.
        """

        def contents(disk: Any, jobs: Sequence[int]) -> Deferred[dict[int, Content]]:
            return fail(StorageError("The disk is gone."))

        self.kit.submit(b"x", job="j")
        self.patch(type(self.kit.disk), "contents", contents)
        self.kit.agent()
        (part,) = self.kit.ask("WAIT", job="j").result["parts"]
        self.assertEqual(
            (part["verdict"], part["reason"]),
            ("failed", "Its payload cannot be read: The disk is gone."),
        )
        self.assertEqual(self.kit.left(), {})


class CommitTests(SynchronousTestCase):
    """
    Nothing of a stored job leaves before it is on disk.
    """

    def test_order(self) -> None:
        """
        The acceptance and the attempt are one write; then the client and the
        agent are told; the result is on disk before anybody hears of it.
        """
        kit = Kit()
        agent = kit.agent()
        kit.hold = True
        reply = kit.submit(b"x", job="j")
        self.assertEqual(len(kit.disk.pending), 1)
        self.assertEqual((reply.answers, agent.deliveries), ([], []))
        kit.commit()
        self.assertEqual((reply.result["existing"], len(agent.deliveries)), (False, 1))
        wait = kit.ask("WAIT", job="j")
        agent.result(None, b"y")
        self.assertEqual((wait.answers, agent.route.of("ack")), ([], []))
        # Said again while it is on its way: neither counted nor acknowledged.
        agent.result(None, b"y")
        self.assertEqual((agent.route.of("ack"), kit.count("replies_refused")), ([], 0))
        kit.commit()
        self.assertEqual(
            (wait.payload, agent.route.of("ack")), ((b"y",), [[agent.last.part, 1, 0]])
        )
