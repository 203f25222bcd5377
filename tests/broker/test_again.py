"""
Tests of L{jobroute.broker.commands.again}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from jobroute.model import ReplyKind
from tests.broker.kit import FakeAgent, Kit, Reply


class AgainCase(SynchronousTestCase):
    """
    Has a broker, and jobs that end badly.
    """

    def setUp(self) -> None:
        """
        Start a broker.
        """
        self.kit = Kit(Limits(page=100))

    def die(self, name: str = "a", service: str = "s") -> FakeAgent:
        """
        An agent comes, works, and is lost.
        """
        agent = self.kit.agent(name, service)
        agent.reply(ReplyKind.PROGRESS, value="half")
        self.kit.advance(11.0)
        return agent

    def poison(self, job: str, **more: Any) -> Reply:
        """
        A job that is quarantined after one loss.
        """
        reply = self.kit.submit(b"p", b"q", **{"job": job, "max_lost": 1, **more})
        self.die()
        return reply

    def part(self, job: str, index: int = 0) -> dict[str, Any]:
        """
        A part of a job, as its history has it.
        """
        found: dict[str, Any] = self.kit.ask("JOB", job=job).result["parts"][index]
        return found

    def listed(self, **more: Any) -> list[tuple[str, int]]:
        """
        What is in quarantine.
        """
        parts = self.kit.ask("QUARANTINE", **more).result["parts"]
        return [(part["job"], part["index"]) for part in parts]


class RetryTests(AgainCase):
    """
    C{RETRY} makes a new job from one that has ended.
    """

    def fails(self, job: str = "j", *payload: bytes, **more: Any) -> FakeAgent:
        """
        A job fails.
        """
        agent = self.kit.agent(f"agent-of-{job}")
        self.kit.submit(*payload, job=job, **more)
        agent.reply(ReplyKind.FAILURE, value="no luck")
        return agent

    def test_same(self) -> None:
        """
        It has all that the first one had, and knows where it comes from.
        """
        said = {
            "header": {"x": [1]},
            "priority": 7,
            "attempts": 4,
            "retry": {"on": ["timed_out"], "delay": 3},
            "max_lost": 9,
            "queue_limit": 50,
            "run_limit": 60,
            "deadline": 70,
            "client": "me",
        }
        agent = self.fails("j", b"p", b"q", **said)
        self.kit.advance(5.0, agent)
        answer = self.kit.ask("RETRY", job="j", new="k", client="you").result
        first, second = (self.kit.ask("JOB", job=job).result for job in "jk")
        self.assertEqual((answer["job"], answer["origin"]), ("k", first["number"]))
        self.assertEqual((answer["parts"], answer["existing"]), (1, False))
        self.assertEqual(second["origin"], first["number"])
        self.assertEqual(second["deadline"] - second["submitted"], 70)
        for key in ("service", "target", "header", "priority", "attempts", "retry", "max_lost"):
            self.assertEqual(second[key], first[key])
        for key in ("queue_limit", "run_limit"):
            self.assertEqual(second[key], first[key])
        self.assertEqual((first["client"], second["client"]), ("me", "you"))
        self.assertEqual((agent.last.job, agent.last.attempt), ("k", 1))
        self.assertEqual((agent.last.payload, agent.last.header), ((b"p", b"q"), b'{"x": [1]}'))
        agent.result()
        self.assertEqual(self.kit.verdicts("k"), {"succeeded": 1})
        self.assertEqual(self.kit.verdicts("j"), {"failed": 1})
        self.assertEqual(self.kit.left(), {})

    def test_parts(self) -> None:
        """
        Only the parts that did not succeed, or all.
        """
        agents = {name: self.kit.agent(name) for name in "abc"}
        self.kit.submit(job="j", target="all")
        agents["a"].result()
        agents["b"].reply(ReplyKind.FAILURE)
        agents["c"].reply(ReplyKind.REFUSED)
        self.kit.ask("RETRY", job="j", new="k")
        self.assertEqual(self.kit.ask("JOB", job="k").result["target"]["agents"], ["b", "c"])
        self.assertEqual([len(agent.deliveries) for agent in agents.values()], [1, 2, 2])
        self.assertEqual(self.kit.ask("RETRY", job="j", new="l", all=True).result["parts"], 3)

    def test_any_of(self) -> None:
        """
        One of several is one of several again.
        """
        agent = self.fails(target={"agents": ["agent-of-j"], "count": 1})
        self.kit.ask("RETRY", job="j", new="k")
        said = self.kit.ask("JOB", job="k").result["target"]
        self.assertEqual(said, {"agents": ["agent-of-j"], "count": 1})
        self.assertEqual(agent.last.job, "k")

    def test_idempotent(self) -> None:
        """
        The same new id is the same new job; and without one each is another.
        """
        self.fails()
        first = self.kit.ask("RETRY", job="j", new="k").result
        again = self.kit.ask("RETRY", job="j", new="k").result
        self.assertEqual((again["number"], again["existing"]), (first["number"], True))
        self.kit.submit(job="other")
        self.assertEqual(self.kit.ask("RETRY", job="j", new="other").code, "job-conflict")
        numbers = {self.kit.ask("RETRY", job="j").result["number"] for _ in range(3)}
        self.assertEqual(len(numbers), 3)

    def test_refused(self) -> None:
        """
        What is not there, has not ended, or has nothing to do again.
        """
        self.assertEqual(self.kit.ask("RETRY", job="j").code, "no-such-job")
        self.kit.submit(job="j")
        self.assertEqual(self.kit.ask("RETRY", job="j").code, "not-done")
        self.kit.agent("a").result()
        reply = self.kit.ask("RETRY", job="j")
        self.assertEqual(reply.code, "nothing-to-retry")
        self.assertIn("say all", reply.text)
        self.assertEqual(self.kit.ask("RETRY", job="j", all=True, new="5").code, "bad-property")

    def test_agent_gone(self) -> None:
        """
        The agent that has to do it must be there.
        """
        agent = self.fails(target={"agents": ["agent-of-j"]})
        agent.leave()
        self.assertEqual(self.kit.ask("RETRY", job="j").code, "no-such-agent")

    def test_limits(self) -> None:
        """
        A new job is held to the limits.
        """
        self.fails()
        self.kit.broker.admission.stopping = True
        self.assertEqual(self.kit.ask("RETRY", job="j").code, "stopping")

    def test_at_once(self) -> None:
        """
        A job is submitted again once at a time.
        """
        self.fails()
        self.kit.hold = True
        first = self.kit.ask("RETRY", job="j", new="k")
        second = self.kit.ask("RETRY", job="j", new="l")
        self.assertFalse(first.done)
        self.assertEqual(second.code, "busy")
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(first.result["job"], "k")

    def test_inherited(self) -> None:
        """
        What a part has cost is counted through all that is made of it, with
        the evidence, also over a restart of the broker; at the third loss it
        is quarantined, with one attempt each.
        """
        self.kit.submit(job="j1")
        self.die("a1")
        self.assertEqual(self.kit.verdicts("j1"), {"lost": 1})
        self.kit.ask("RETRY", job="j1", new="j2")
        self.assertEqual(self.part("j2")["losses"], 1)
        self.kit.crash()
        self.die("a2")
        self.assertEqual(self.kit.verdicts("j2"), {"lost": 1})
        self.kit.ask("RETRY", job="j2", new="j3")
        self.die("a3")
        self.assertEqual(self.kit.verdicts("j3"), {"quarantined": 1})
        evidence = self.part("j3")["evidence"]
        self.assertEqual([e["agent"] for e in evidence], ["a1", "a2", "a3"])
        self.assertEqual(len({e["job"] for e in evidence}), 3)
        reply = self.kit.ask("RETRY", job="j3")
        self.assertEqual(reply.code, "quarantined")
        self.assertIn("QUARANTINE_RETRY", reply.text)

    def test_refusals_not_inherited(self) -> None:
        """
        Those that refused it may be asked again.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j", attempts=5, retry={"on": ["refused"], "delay": 0})
        agent.reply(ReplyKind.REFUSED)
        self.assertEqual(self.kit.verdicts("j"), {"refused": 1})
        self.kit.ask("RETRY", job="j", new="k")
        self.assertEqual(agent.last.job, "k")

    def test_force(self) -> None:
        """
        Somebody may insist: the count begins at 0, and the part is in
        quarantine no more.
        """
        self.poison("j")
        self.kit.ask("RETRY", job="j", new="k", force=True)
        self.assertEqual(self.part("k")["losses"], 0)
        self.assertEqual(self.listed(), [])
        self.assertTrue(self.part("j")["released"])


class QuarantineTests(AgainCase):
    """
    The quarantine is looked at, and left.
    """

    def test_list(self) -> None:
        """
        The newest first, in pages, filtered.
        """
        for job, more in (("j", {}), ("k", {"namespace": "n"}), ("l", {})):
            self.poison(job, **more)
        self.kit.submit(job="m", service="t", max_lost=1)
        self.die(service="t")
        self.assertEqual(self.listed(), [("m", 0), ("l", 0), ("k", 0), ("j", 0)])
        self.assertEqual(self.listed(namespace="n"), [("k", 0)])
        self.assertEqual(self.listed(service="t"), [("m", 0)])
        page = self.kit.ask("QUARANTINE", limit=2).result
        self.assertEqual(self.listed(before=page["next"], limit=2), [("k", 0), ("j", 0)])
        self.assertIsNone(self.kit.ask("QUARANTINE", limit=5).result["next"])
        self.assertEqual(self.kit.ask("QUARANTINE", limit=101).code, "too-large")
        entry = page["parts"][1]
        number = self.kit.ask("JOB", job="l").result["number"]
        self.assertEqual((entry["job"], entry["number"], entry["service"]), ("l", number, "s"))
        self.assertEqual((entry["losses"], entry["attempts"]), (1, 1))
        self.assertEqual(entry["evidence"][0]["output"], '"half"')
        self.assertEqual(entry["reason"], self.part("l")["reason"])

    def test_restart(self) -> None:
        """
        It outlives the broker.
        """
        self.poison("j")
        self.kit.crash()
        self.assertEqual(self.listed(), [("j", 0)])

    def test_retry(self) -> None:
        """
        A job is submitted again from there, once; its count begins at 0.
        """
        self.poison("j")
        answer = self.kit.ask("QUARANTINE_RETRY", job="j", new="k").result
        self.assertEqual((answer["job"], answer["existing"]), ("k", False))
        self.assertEqual(self.listed(), [])
        agent = self.kit.agent("b")
        self.assertEqual(agent.last.payload, (b"p", b"q"))
        agent.result()
        self.assertEqual(self.kit.verdicts("k"), {"succeeded": 1})
        kinds = [(e["kind"], e.get("job")) for e in self.kit.ask("JOB", job="j").result["events"]]
        self.assertEqual(kinds[-1], ("part.released", "k"))
        self.assertTrue(self.kit.ask("QUARANTINE_RETRY", job="j", new="k").result["existing"])
        for new in ({}, {"new": "l"}):
            reply = self.kit.ask("QUARANTINE_RETRY", job="j", **new)
            self.assertEqual(reply.code, "nothing-to-retry")

    def test_released_with_the_job(self) -> None:
        """
        It leaves the quarantine in the moment in which the new job is on
        disk, not before.
        """
        self.poison("j")
        self.kit.hold = True
        reply = self.kit.ask("QUARANTINE_RETRY", job="j", new="k")
        self.assertFalse(reply.done)
        self.kit.crash()
        self.assertEqual(self.listed(), [("j", 0)])
        self.assertEqual(self.kit.ask("WAIT", job="k").code, "no-such-job")

    def test_retry_one_of_many(self) -> None:
        """
        Only the quarantined parts.
        """
        agents = [self.kit.agent(name) for name in "ab"]
        self.kit.submit(job="j", target="all", max_lost=1)
        agents[0].reply(ReplyKind.FAILURE)
        self.kit.advance(11.0, agents[0])
        self.assertEqual(self.listed(), [("j", 1)])
        agent = self.kit.agent("b")
        self.assertEqual(self.kit.ask("QUARANTINE_RETRY", job="j", new="k").result["parts"], 1)
        self.assertEqual(agent.last.job, "k")
        self.assertEqual(len(agents[0].deliveries), 1)

    def test_not_quarantined(self) -> None:
        """
        A job of which no part is.
        """
        self.kit.submit(job="j")
        self.assertEqual(self.kit.ask("QUARANTINE_RETRY", job="j").code, "not-done")
        self.kit.agent("a").result()
        self.assertEqual(self.kit.ask("QUARANTINE_RETRY", job="j").code, "nothing-to-retry")
        self.assertEqual(self.kit.ask("QUARANTINE_DROP", job="j").result["dropped"], 0)

    def test_drop(self) -> None:
        """
        It is out of the list, and its history stays.
        """
        self.poison("j")
        self.poison("k")
        reply = self.kit.ask("QUARANTINE_DROP", job="j", caller="~me")
        self.assertEqual(reply.result, {"job": "j", "dropped": 1})
        self.assertEqual(self.listed(), [("k", 0)])
        self.assertEqual(self.kit.verdicts("j"), {"quarantined": 1})
        event = self.kit.ask("JOB", job="j").result["events"][-1]
        self.assertEqual((event["kind"], event["dropped"]), ("part.released", "~me"))
        self.assertEqual(self.kit.ask("QUARANTINE_DROP", job="j").result["dropped"], 0)
        self.kit.crash()
        self.assertEqual(self.listed(), [("k", 0)])

    def test_drop_one(self) -> None:
        """
        One part of several.
        """
        for name in "ab":
            self.kit.agent(name)
        self.kit.submit(job="j", target="all", max_lost=1)
        self.kit.advance(11.0)
        self.assertEqual(self.listed(), [("j", 1), ("j", 0)])
        self.assertEqual(self.kit.ask("QUARANTINE_DROP", job="j", index=0).result["dropped"], 1)
        self.assertEqual(self.listed(), [("j", 1)])
        self.assertEqual(self.kit.ask("QUARANTINE_DROP", job="j", index=2).code, "bad-property")

    def test_dropped_when_on_disk(self) -> None:
        """
        The answer waits for the disk.
        """
        self.poison("j")
        self.kit.hold = True
        reply = self.kit.ask("QUARANTINE_DROP", job="j")
        self.assertFalse(reply.done)
        self.kit.hold = False
        self.kit.settle()
        self.assertTrue(reply.done)
