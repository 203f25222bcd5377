"""
Tests of L{jobroute.broker.dispatcher}: who is given a job, limits, cancelling
and input.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.config import Limits
from jobroute.interfaces import IAgentRoute, IClock, IDispatcher, IReplyTo
from jobroute.model import Forgotten, ReplyKind
from tests.broker.kit import Clocks, FakeAgent, Kit, Reply, Route


class Case(SynchronousTestCase):
    """
    Has a broker.
    """

    def setUp(self) -> None:
        self.kit = Kit()

    def parts(self, job: str) -> list[dict[str, Any]]:
        """
        The parts of a job as C{JOB} says them.
        """
        parts: list[dict[str, Any]] = self.kit.ask("JOB", job=job).result["parts"]
        return parts


class InterfaceTests(Case):
    """
    Everybody provides what they say.
    """

    def test_interfaces(self) -> None:
        """
        The dispatcher, and the doubles of the kit.
        """
        verifyObject(IDispatcher, self.kit.broker.dispatcher)
        verifyObject(IAgentRoute, Route("x"))
        verifyObject(IReplyTo, Reply())
        verifyObject(IClock, Clocks())


class TargetTests(Case):
    """
    Who does a job.
    """

    def setUp(self) -> None:
        super().setUp()
        self.agents = {name: self.kit.agent(name) for name in ("a", "b", "c")}
        self.other = self.kit.agent("other", "t")

    def given(self) -> dict[str, int]:
        """
        How much each agent was given.
        """
        everybody = {**self.agents, "other": self.other}
        return {n: len(a.deliveries) for n, a in everybody.items() if a.deliveries}

    def submit(self, target: Any, **properties: Any) -> Reply:
        """
        Submit the job C{j}.
        """
        return self.kit.submit(b"x", target=target, job="j", **properties)

    def test_any(self) -> None:
        """
        One of those that offer the service, one part.
        """
        self.assertEqual(self.submit("any").result["parts"], 1)
        self.assertEqual(self.given(), {"a": 1})
        self.assertEqual(self.agents["a"].last.payload, (b"x",))

    def test_all(self) -> None:
        """
        All that offer the service, one part each.
        """
        self.assertEqual(self.submit("all").result["parts"], 3)
        self.assertEqual(self.given(), {"a": 1, "b": 1, "c": 1})
        self.assertEqual([p["agents"] for p in self.parts("j")], [["a"], ["b"], ["c"]])

    def test_all_full(self) -> None:
        """
        Also those that are busy; their parts wait for them alone.
        """
        self.kit.call(target={"agents": ["b"]})
        self.submit("all")
        self.assertEqual(self.given(), {"a": 1, "b": 1, "c": 1})
        self.assertEqual(self.kit.broker.gauges()["queued"], 1)
        self.agents["b"].result()
        self.assertEqual(self.agents["b"].last.job, "j")

    def test_all_of_nobody(self) -> None:
        """
        All of nobody is not enough; those that drain don't count.
        """
        self.assertEqual(self.submit("all", service="u").code, "not-enough-agents")
        self.other.drain()
        self.assertEqual(self.submit("all", service="t").code, "not-enough-agents")

    def test_one_name(self) -> None:
        """
        A named agent has it, and it waits for that one though others are free.
        """
        self.submit({"agents": ["c"]})
        self.kit.submit(target={"agents": ["c"]})
        self.assertEqual(self.given(), {"c": 1})

    def test_list(self) -> None:
        """
        Each of a list, in its order.
        """
        self.submit({"agents": ["c", "a"]})
        self.assertEqual([p["agents"] for p in self.parts("j")], [["c"], ["a"]])
        self.assertEqual(self.given(), {"a": 1, "c": 1})

    def test_one_of_a_list(self) -> None:
        """
        The best of a list, picked when one is free.
        """
        only = {"agents": ["b", "c"], "count": 1}
        self.submit(only)
        self.kit.submit(target=only)
        self.kit.submit(target=only)
        self.assertEqual(self.given(), {"b": 1, "c": 1})
        self.agents["c"].result()
        self.assertEqual(len(self.agents["c"].deliveries), 2)

    def test_some(self) -> None:
        """
        The best two of all, frozen.
        """
        self.kit.call(target={"agents": ["a"]})
        self.submit({"count": 2})
        self.assertEqual([p["agents"] for p in self.parts("j")], [["b"], ["c"]])

    def test_some_of_a_list(self) -> None:
        """
        The best two of a list; one that does not offer the service does not
        count.
        """
        self.submit({"agents": ["other", "c", "b"], "count": 2})
        self.assertEqual(sorted(p["agents"][0] for p in self.parts("j")), ["b", "c"])

    def test_too_few(self) -> None:
        """
        Fewer than asked for are not enough.
        """
        self.assertEqual(self.submit({"count": 4}).code, "not-enough-agents")
        few = self.submit({"agents": ["a", "other"], "count": 2})
        self.assertEqual(few.code, "not-enough-agents")
        self.assertEqual(few.text, "2 agents are asked for, and 1 offer the service s.")

    def test_unknown(self) -> None:
        """
        A name that is not registered is refused by name, also one that was.
        """
        self.assertEqual(self.submit({"agents": ["a", "z"]}).text, "There is no agent z.")
        self.agents["b"].leave()
        self.assertEqual(self.submit({"agents": ["b"], "count": 1}).code, "no-such-agent")

    def test_twice(self) -> None:
        """
        A name that stands there twice is refused by name.
        """
        self.assertEqual(
            self.submit({"agents": ["a", "b", "a"]}).text, "target.agents names a twice."
        )

    def test_wrong(self) -> None:
        """
        Other things that are no target.
        """
        wrong: list[Any] = [
            "some", 1, None, True, [], {"agents": []}, {"agents": ["a"], "count": 0},
            {"agents": ["a"], "count": True}, {"agents": ["a"], "count": 2}, {"agents": "a"},
            {"agents": ["~"]}, {"count": 1.5}, {"nobody": 1}, {"agents": [1]},
        ]  # fmt: skip
        for target in wrong:
            self.assertEqual(self.submit(target).code, "bad-property", target)
        self.assertEqual(self.given(), {})

    def test_listed_as_given(self) -> None:
        """
        C{JOB} says the target as one may give it.
        """
        for target in ("any", "all", {"count": 2}, {"agents": ["a", "b"], "count": 1}):
            job = self.kit.submit(target=target).result["job"]
            self.assertEqual(self.kit.ask("JOB", job=job).result["target"], target)


class OrderTests(Case):
    """
    Who is given first.
    """

    def order(self, agent: FakeAgent, of: list[str]) -> list[str]:
        """
        Let an agent do everything, and say in which order.
        """
        for _ in of:
            agent.result()
        return [d.job for d in agent.deliveries if d.job in of]

    def submit(self, job: str, client: str, priority: int = 0) -> None:
        """
        Submit a job.
        """
        self.kit.submit(job=job, client=client, priority=priority)

    def test_priority_and_fairness(self) -> None:
        """
        Higher priority first; clients take turns however much one has; each
        client's own in their order.
        """
        agent = self.kit.agent()
        self.kit.submit(job="busy")
        for number in range(4):
            self.submit(f"g{number}", "greedy")
        self.submit("m0", "modest")
        self.submit("m1", "modest")
        self.submit("h0", "greedy", 7)
        self.submit("l0", "modest", -7)
        of = ["h0", "g0", "m0", "g1", "m1", "g2", "g3", "l0"]
        agent.result()
        self.assertEqual(self.order(agent, of), of)

    def test_fairness_between_services(self) -> None:
        """
        A greedy client of one service does not block another service of the
        same agent.
        """
        agent = self.kit.agent("a", "s", "t")
        self.kit.submit(job="busy")
        for number in range(3):
            self.submit(f"g{number}", "greedy")
        self.kit.submit(job="m0", client="modest", service="t")
        of = ["g0", "m0", "g1", "g2"]
        agent.result()
        self.assertEqual(self.order(agent, of), of)

    def test_busy_name(self) -> None:
        """
        Parts for a busy agent are in nobody's way.
        """
        kit = self.kit
        kit.agent("a")
        b = kit.agent("b")
        for number in range(5):
            kit.submit(job=f"a{number}", target={"agents": ["a"]})
        kit.submit(job="any")
        self.assertEqual(b.last.job, "any")


class LimitTests(Case):
    """
    Which limit gives which verdict: the table in C{doc/protocol.rst}.
    """

    def verdict(self, job: str = "j") -> tuple[str, str]:
        """
        The verdict of a job, and the reason.
        """
        (part,) = self.kit.ask("WAIT", job=job).result["parts"]
        return part["verdict"], part.get("reason", "")

    def test_queue_limit(self) -> None:
        """
        The queue limit expires a part in the queue, and says why it waited.
        """
        self.kit.submit(job="j", queue_limit=5)
        self.kit.advance(4.9)
        self.assertEqual(self.kit.ask("WHY", job="j").result["parts"][0]["code"], "no-agent")
        self.kit.advance(0.3)
        self.assertEqual(
            self.verdict(),
            (
                "expired",
                "It waited in the queue for too long. No agent offers the service s.",
            ),
        )
        self.assertEqual(self.kit.left(), {})

    def test_queue_limit_running(self) -> None:
        """
        The queue limit does not touch a part that an agent has.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j", queue_limit=5)
        self.kit.advance(20, agent)
        agent.result()
        self.assertEqual(self.verdict()[0], "succeeded")

    def test_run_limit(self) -> None:
        """
        The run limit ends an attempt; its agent is told, again and again
        until it confirms, and has no free slot before.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j", run_limit=5)
        self.kit.submit(job="k")
        self.kit.advance(4.9, agent)
        self.assertEqual(agent.route.of("cancel"), [])
        self.kit.advance(0.3, agent)
        self.assertEqual(self.verdict(), ("timed_out", "It ran for too long."))
        self.kit.advance(10, agent)
        key = [agent.deliveries[0].part, 1]
        self.assertGreaterEqual(agent.route.of("cancel").count(key), 4)  # type: ignore[arg-type]
        self.assertEqual(len(agent.deliveries), 1)
        agent.cancelled()
        self.assertIn([key[0], 1, 0], agent.route.of("ack"))
        self.assertEqual(agent.last.job, "k")
        said = len(agent.route.of("cancel"))
        self.kit.advance(10, agent)
        self.assertEqual(len(agent.route.of("cancel")), said)

    def test_run_limit_queued(self) -> None:
        """
        The run limit does not run in the queue.
        """
        self.kit.submit(job="j", run_limit=1)
        self.kit.advance(5)
        agent = self.kit.agent()
        self.kit.advance(0.5, agent)
        agent.result()
        self.assertEqual(self.verdict()[0], "succeeded")

    def test_run_limit_prefetched(self) -> None:
        """
        The run limit of a prefetched part runs from when work began.
        """
        agent = self.kit.agent(slots=1, prefetch=1)
        self.kit.submit(job="i")
        self.kit.submit(job="j", run_limit=2)
        self.kit.advance(5, agent)
        agent.result(agent.deliveries[0])
        agent.reply(ReplyKind.STARTED)
        self.kit.advance(1.5, agent)
        self.assertEqual(agent.route.of("cancel"), [])
        self.kit.advance(0.7, agent)
        self.assertEqual(self.verdict()[0], "timed_out")

    def test_deadline_queued(self) -> None:
        """
        The deadline expires a part in the queue.
        """
        self.kit.submit(job="j", deadline=5, queue_limit=100)
        self.kit.advance(5.2)
        verdict, reason = self.verdict()
        self.assertEqual(verdict, "expired")
        self.assertTrue(reason.startswith("Its deadline passed in the queue."), reason)

    def test_deadline_running(self) -> None:
        """
        The deadline expires a part that an agent has, and the agent is told.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j", deadline=5, run_limit=100)
        self.kit.advance(5.2, agent)
        self.assertEqual(self.verdict(), ("expired", "Its deadline passed."))
        self.assertEqual(agent.route.of("cancel"), [[agent.last.part, 1]])

    def test_default_deadline(self) -> None:
        """
        Without a deadline the setting's holds.
        """
        self.kit.submit(job="j")
        self.kit.advance(86399, step=10000)
        self.assertEqual(self.kit.broker.gauges()["jobs"], 1)
        self.kit.advance(3)
        self.assertEqual(self.verdict()[0], "expired")

    def test_call(self) -> None:
        """
        Calls have the same limits.
        """
        agent = self.kit.agent()
        reply = self.kit.call(run_limit=1)
        queued = self.kit.call(queue_limit=2)
        self.kit.advance(2.2, agent)
        self.assertEqual(reply.result["verdicts"], {"timed_out": 1})
        self.assertEqual(queued.result["verdicts"], {"expired": 1})
        agent.cancelled()
        self.assertEqual(self.kit.left(), {})

    def test_before_commit(self) -> None:
        """
        An attempt that is over before it was delivered is not delivered, and
        its slot is free.
        """
        agent = self.kit.agent()
        self.kit.hold = True
        self.kit.submit(job="j", deadline=1)
        self.kit.advance(2, agent)
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual((self.verdict()[0], agent.deliveries), ("expired", []))
        self.kit.submit(job="k")
        self.assertEqual(agent.last.job, "k")


class CancelTests(Case):
    """
    Cancelling.
    """

    def cancel(self, job: str = "j", **properties: Any) -> Any:
        """
        Cancel a job.
        """
        return self.kit.ask("CANCEL", job=job, **properties).result

    def test_queued(self) -> None:
        """
        A queued part is cancelled at once.
        """
        self.kit.submit(job="j")
        wait = self.kit.ask("WAIT", job="j")
        self.assertEqual(self.cancel(), {"job": "j", "cancelling": 1})
        self.assertEqual(wait.result["verdicts"], {"cancelled": 1})
        self.assertEqual(self.kit.left(), {})
        self.kit.agent()
        self.assertEqual(self.cancel(), {"job": "j", "cancelling": 0})

    def test_running(self) -> None:
        """
        The agent of a running part is asked until it confirms; then it is
        cancelled, acknowledged, and the slot is free.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j")
        self.kit.submit(job="k")
        delivery = agent.last
        self.assertEqual(self.cancel(), {"job": "j", "cancelling": 1})
        self.assertEqual(self.cancel(), {"job": "j", "cancelling": 1})
        self.assertEqual(agent.route.of("cancel"), [[delivery.part, 1]])
        self.kit.advance(6, agent)
        self.assertGreaterEqual(len(agent.route.of("cancel")), 3)
        self.assertEqual(self.parts("j")[0]["state"], "running")
        agent.cancelled(delivery)
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        self.assertEqual(agent.route.of("ack"), [[delivery.part, 1, 0]])
        self.assertEqual(agent.last.job, "k")

    def test_still_running(self) -> None:
        """
        An agent that stopped but has no slot free yet keeps it until it says
        so; the verdict does not wait, and it is not asked again.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j")
        self.kit.submit(job="k")
        delivery = agent.last
        self.cancel()
        agent.cancelled(delivery, running=True)
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        asked = len(agent.route.of("cancel"))
        self.kit.advance(10, agent)
        agent.cancelled(delivery, running=True)
        self.assertEqual((len(agent.deliveries), len(agent.route.of("cancel"))), (1, asked))
        agent.released(delivery)
        self.assertEqual(agent.last.job, "k")
        agent.result()
        self.assertEqual(self.kit.left(), {})

    def test_result_instead(self) -> None:
        """
        A result that was on its way counts.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j")
        self.cancel()
        agent.result()
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 1})
        self.assertEqual(self.kit.left(), {})

    def test_agent_lost(self) -> None:
        """
        A part that is being cancelled is cancelled when its agent is lost,
        though it has attempts left.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j", attempts=5)
        self.cancel()
        agent.leave()
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        self.assertEqual(self.kit.left(), {})

    def test_before_delivery(self) -> None:
        """
        A part whose delivery is not on disk yet is cancelled, and the agent
        never hears of it.
        """
        agent = self.kit.agent()
        self.kit.hold = True
        self.kit.submit(job="j")
        reply = self.kit.ask("CANCEL", job="j")
        self.assertEqual(reply.answers, [])
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(reply.result, {"job": "j", "cancelling": 1})
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        self.assertEqual((agent.deliveries, agent.route.of("cancel")), ([], []))
        self.assertEqual(self.kit.left(), {})

    def test_answered_when_on_disk(self) -> None:
        """
        The intent is on disk before it is answered or the agent is asked.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j")
        self.kit.hold = True
        reply = self.kit.ask("CANCEL", job="j")
        self.assertEqual((reply.answers, agent.route.of("cancel")), ([], []))
        self.kit.hold = False
        self.kit.settle()
        self.assertTrue(reply.done)
        self.assertEqual(len(agent.route.of("cancel")), 1)

    def test_one_part(self) -> None:
        """
        One part of several.
        """
        agents = [self.kit.agent(name) for name in "abc"]
        self.kit.submit(job="j", target="all")
        self.assertEqual(self.cancel(index=1)["cancelling"], 1)
        agents[1].cancelled()
        agents[0].result()
        agents[2].result()
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 2, "cancelled": 1})
        self.kit.submit(job="k", target="all")
        self.assertEqual(self.kit.ask("CANCEL", job="k", index=3).code, "bad-property")

    def test_call(self) -> None:
        """
        A call is cancelled by its token.
        """
        agent = self.kit.agent()
        token = "t" * 16
        call = self.kit.call(token=token)
        reply = self.kit.ask("CANCEL", token=token)
        self.assertEqual(reply.result["cancelling"], 1)
        self.assertEqual(agent.route.of("cancel"), [[agent.last.part, 1]])
        agent.cancelled()
        self.assertEqual(call.result["verdicts"], {"cancelled": 1})
        self.assertEqual(self.kit.ask("CANCEL", token=token).result["cancelling"], 0)
        self.assertEqual(self.kit.ask("CANCEL", token="u" * 16).code, "unknown-outcome")

    def test_unknown(self) -> None:
        """
        A job that nobody knows.
        """
        self.assertEqual(self.kit.ask("CANCEL", job="j").code, "no-such-job")


class InputTests(Case):
    """
    Inputs to running parts.
    """

    def test_running(self) -> None:
        """
        An input goes to the agent that works on the part.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j")
        reply = self.kit.ask("INPUT", b"1", b"2", job="j")
        self.assertEqual(reply.result, {"job": "j"})
        self.assertEqual(agent.route.of("input"), [[agent.last.part, 1, (b"1", b"2")]])

    def test_behind_delivery(self) -> None:
        """
        An input never overtakes the delivery.
        """
        agent = self.kit.agent()
        self.kit.hold = True
        self.kit.submit(job="j")
        self.kit.ask("INPUT", b"1", job="j")
        self.assertEqual(agent.route.of("input"), [])
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual([name for name, *_ in agent.route.said][-2:], ["deliver", "input"])

    def test_call(self) -> None:
        """
        A call is given an input by its token.
        """
        agent = self.kit.agent()
        self.kit.call(token="t" * 16)
        self.assertTrue(self.kit.ask("INPUT", b"1", token="t" * 16).result)
        self.assertEqual(len(agent.route.of("input")), 1)
        self.assertEqual(self.kit.ask("INPUT", b"1", token="u" * 16).code, "not-running")

    def test_not_running(self) -> None:
        """
        A part that is queued, done or being cancelled takes none; a part that
        is not there, or a job that nobody knows, is said to be so.
        """
        kit = self.kit
        kit.submit(job="j")
        self.assertEqual(kit.ask("INPUT", b"1", job="j").code, "not-running")
        agent = kit.agent()
        self.assertEqual(kit.ask("INPUT", b"1", job="j", index=1).code, "bad-property")
        kit.ask("CANCEL", job="j")
        self.assertEqual(kit.ask("INPUT", b"1", job="j").code, "not-running")
        agent.cancelled()
        self.assertEqual(kit.ask("INPUT", b"1", job="j").code, "not-running")
        self.assertEqual(kit.ask("INPUT", b"1", job="k").code, "no-such-job")
        self.assertEqual(agent.route.of("input"), [])


class CallTests(Case):
    """
    Calls leave nothing behind.
    """

    def test_result(self) -> None:
        """
        The result goes to the client, and nothing of the call is left, on
        disk nor in memory.
        """
        agent = self.kit.agent()
        written = self.kit.broker.journal.position
        reply = self.kit.call(b"in", header={"h": [1, None]}, run_limit=5)
        delivery = agent.last
        self.assertEqual(
            (delivery.payload, delivery.header, delivery.volatile, delivery.run_limit),
            ((b"in",), b'{"h": [1, null]}', True, 5.0),
        )
        agent.result(delivery, b"out", b"")
        self.assertEqual(
            reply.result["parts"],
            [{"index": 0, "verdict": "succeeded", "agent": "a", "attempts": 1, "frames": 2}],
        )
        self.assertEqual(reply.payload, (b"out", b""))
        self.assertEqual(agent.route.of("ack"), [[delivery.part, 1, 0]])
        self.assertEqual(self.kit.broker.journal.position, written)
        self.assertEqual(self.kit.left(), {})

    def test_many(self) -> None:
        """
        Nothing is left of many, however they ended.
        """
        agents = [self.kit.agent(name, slots=3) for name in "abc"]
        replies = [
            self.kit.call(
                target=("any", "all", {"count": 2})[number % 3],
                run_limit=(None, 2)[number % 2],
                queue_limit=(None, 1)[number % 2],
                token=f"{number:016}",
                attempts=2,
                caller=f"~{number % 4}",
            )
            for number in range(30)
        ]
        for number in range(40):
            agent = agents[number % 3]
            for key, attempt in list(agent.route.agent.held.items()):
                delivery = next(d for d in agent.deliveries if (d.part, d.attempt) == key)
                if attempt.stopping:
                    agent.cancelled(delivery)
                elif number % 5:
                    agent.result(delivery)
            self.kit.advance(0.4, *agents)
        for reply in replies:
            self.assertTrue(reply.done)
        self.assertEqual(self.kit.left(), {})
        self.assertEqual(self.kit.broker.gauges()["calls"], 0)

    def test_refused(self) -> None:
        """
        A call that is refused leaves nothing behind.
        """
        self.assertEqual(self.kit.call(target="all").code, "not-enough-agents")
        self.assertEqual((self.kit.left(), len(self.kit.broker.services)), ({}, 0))

    def test_service_forgotten(self) -> None:
        """
        A service that was only waited for is forgotten with the last wait.
        """
        self.kit.call(queue_limit=1, service="nobody")
        self.assertEqual(len(self.kit.broker.services), 1)
        self.kit.advance(2)
        self.assertEqual(len(self.kit.broker.services), 0)


class TickTests(Case):
    """
    Housekeeping.
    """

    def test_retention(self) -> None:
        """
        What is past its retention goes, once a minute.
        """
        written: list[Forgotten] = []
        kit = Kit(Limits(jobs=7, events=8), {"retention": 100.0})
        write = kit.disk.write

        def watched(position: int, changes: Any) -> None:
            written.extend(c for c in changes if isinstance(c, Forgotten))
            write(position, changes)

        kit.broker.journal._write = watched
        kit.advance(130, step=1.0)
        self.assertEqual(len(written), 3)
        self.assertEqual(written[0], Forgotten(1_700_000_001.0 - 100.0, 7, 8))
