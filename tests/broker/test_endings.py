"""
Tests of L{jobroute.broker.endings}.
"""

from __future__ import annotations

from typing import Any

from jobroute.broker.losses import KEPT
from jobroute.config import Limits
from jobroute.model import Advice, ReplyKind
from tests.broker.kit import FakeAgent, Kit
from tests.broker.retrying import RetryCase


class OverdueTests(RetryCase):
    """
    An attempt that ran for too long has to be stopped before there is
    another.
    """

    def setUp(self) -> None:
        """
        Two agents; the first has a job and does not end it.
        """
        super().setUp()
        self.begin()
        self.other = self.kit.agent("b")
        self.wait(3.0)

    def begin(self, **more: Any) -> None:
        """
        Submit a job with a run limit.
        """
        retry = {"on": ["timed_out"], "delay": 0.5, "jitter": 0}
        self.submit(retry, **{"run_limit": 2, "deadline": 60, **more})

    def wait(self, seconds: float) -> None:
        """
        Wait while both live.
        """
        self.kit.advance(seconds, self.agent, self.other, step=0.1)

    def test_confirmed(self) -> None:
        """
        It is another's when the first has let go of it, not before.
        """
        self.assertEqual(self.why()[0], "overdue")
        self.assertEqual(self.agent.route.of("cancel")[0], [self.agent.last.part, 1])
        self.wait(5.0)
        self.assertEqual(self.other.deliveries, [])
        self.agent.cancelled()
        self.assertEqual(self.why()[0], "not-due")
        self.assertEqual(self.agent.route.of("ack")[0], [self.agent.last.part, 1, 0])
        self.wait(0.6)
        self.assertEqual(self.other.last.attempt, 2)
        self.other.result()
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 1})
        self.assertEqual(self.kit.left(), {})

    def test_still_running(self) -> None:
        """
        An agent whose function cannot be stopped has no slot free, but has
        let go of the part.
        """
        self.agent.cancelled(running=True)
        self.wait(0.6)
        self.assertEqual(self.other.last.attempt, 2)
        self.assertEqual(self.agent.route.agent.outstanding, 1)
        self.agent.released()
        self.assertEqual(self.agent.route.agent.outstanding, 0)

    def test_result(self) -> None:
        """
        A result that comes after all is taken.
        """
        self.agent.result(None, b"r")
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 1})
        self.wait(1.0)
        self.assertEqual(self.kit.left(), {})

    def test_failure(self) -> None:
        """
        Whatever else its agent says of it, it ran for too long.
        """
        self.failed()
        self.wait(0.6)
        self.assertEqual(
            [e["reason"] for e in self.events("part.timed_out")], ["It ran for too long."]
        )
        self.assertEqual(len(self.other.deliveries) + len(self.agent.deliveries), 2)

    def test_not_held(self) -> None:
        """
        A beat that does not name it is as good as a confirmation.
        """
        self.agent.beat()
        self.wait(0.6)
        self.assertEqual(self.other.last.attempt, 2)

    def test_lost(self) -> None:
        """
        So is the loss of its agent, which is counted.
        """
        self.agent.leave()
        self.wait(0.6)
        self.assertEqual(self.other.last.attempt, 2)

    def test_last(self) -> None:
        """
        When no attempt is left the verdict does not wait for the agent, nor
        does it if there is no time for another.
        """
        for job, more in (("k", {"attempts": 1}), ("l", {"deadline": 2.4})):
            self.begin(job=job, target={"agents": ["b"]}, **more)
            self.wait(2.2)
            self.assertEqual(self.kit.verdicts(job), {"timed_out": 1})
            self.other.cancelled()

    def test_cancel(self) -> None:
        """
        When it is cancelled meanwhile there is no other attempt.
        """
        self.kit.ask("CANCEL", job="j")
        self.agent.cancelled()
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        self.wait(1.0)
        self.assertEqual(self.other.deliveries, [])

    def test_deadline(self) -> None:
        """
        The deadline does not wait for the agent.
        """
        self.wait(58.0)
        self.assertEqual(self.kit.verdicts("j"), {"expired": 1})

    def test_restart(self) -> None:
        """
        After a restart of the broker the attempt has its time again.
        """
        self.kit.crash()
        agent = self.agent = self.kit.returned(self.agent)
        self.other = self.kit.returned(self.other)
        self.wait(2.2)
        [(part, number)] = agent.route.agent.held
        agent.agents.replied(agent.route, part, number, ReplyKind.CANCELLED, False, 0, ())
        self.kit.settle()
        self.wait(0.6)
        self.assertEqual(self.other.last.attempt, 2)


class RefusedTests(RetryCase):
    """
    What one agent refused goes to another.
    """

    def setUp(self) -> None:
        """
        Three agents.
        """
        super().setUp()
        self.all = {"a": self.agent, **{name: self.kit.agent(name) for name in "bc"}}

    def begin(self, **more: Any) -> None:
        """
        Submit a job that is worth many attempts.
        """
        retry = {"on": ["refused"], "delay": 0.5, "factor": 1, "jitter": 0}
        self.submit(retry, **{"attempts": 9, **more})

    def refuse(self, *, advice: Advice | None = None) -> str:
        """
        Refuse it, whoever has it.

        @return: who that was.
        """
        [name] = [name for name, agent in self.all.items() if self.holds(agent)]
        agent = self.all[name]
        d = agent.last
        reason = f"{name} does not like it."
        agent.agents.replied(
            agent.route, d.part, d.attempt, ReplyKind.REFUSED, reason, 0, (), advice
        )
        self.kit.settle()
        return name

    def holds(self, agent: FakeAgent) -> bool:
        """
        Whether an agent has something.
        """
        return bool(agent.route.agent and agent.route.agent.held)

    def wait(self, seconds: float = 0.6) -> None:
        """
        Wait while all live.
        """
        self.kit.advance(seconds, *self.all.values(), step=0.1)

    def test_all(self) -> None:
        """
        Each is asked once; when all have refused, that is the verdict, with
        attempts left.
        """
        self.begin()
        asked = []
        for _ in range(3):
            asked.append(self.refuse())
            self.wait()
        self.assertEqual(sorted(asked), ["a", "b", "c"])
        self.assertEqual(self.kit.verdicts("j"), {"refused": 1})
        part = self.kit.ask("JOB", job="j").result["parts"][0]
        self.assertEqual(part["reason"], f"{asked[-1]} does not like it.")
        self.assertEqual(part["refused"], asked)
        self.assertEqual(self.kit.left(), {})

    def test_not_asked_for(self) -> None:
        """
        Unless the job says so, one refusal is enough.
        """
        self.submit(None)
        self.refuse()
        self.assertEqual(self.kit.verdicts("j"), {"refused": 1})

    def test_not_worth_it(self) -> None:
        """
        So it is if the agent says so.
        """
        self.begin()
        self.refuse(advice=Advice(retry=False))
        self.assertEqual(self.kit.verdicts("j"), {"refused": 1})

    def test_waits_for_another(self) -> None:
        """
        It waits for one that has not refused it, though the one that has is
        free, and other parts pass by.
        """
        self.begin()
        busy = {name: agent for name, agent in self.all.items() if not self.holds(agent)}
        for name in busy:
            self.kit.call(target={"agents": [name]})
        [name] = set(self.all) - set(busy)
        refusing = self.all[name]
        d = refusing.last
        refusing.reply(ReplyKind.REFUSED, d, value="No.")
        self.wait()
        code, said = self.why()
        self.assertEqual(code, "all-full")
        self.assertNotIn(f"{name} holds", said)
        self.kit.call()
        self.assertEqual(refusing.last.index, 0)
        self.assertEqual(len(refusing.deliveries), 2)
        next(iter(busy.values())).result()
        self.assertEqual(next(iter(busy.values())).last.attempt, 2)

    def test_newcomer(self) -> None:
        """
        When those that have not refused it leave while it waits for them,
        one that comes is given it.
        """
        self.begin()
        name = self.refuse()
        for other in "abc":
            if other != name:
                self.kit.call(target={"agents": [other]})
        self.wait()
        for other in "abc":
            if other != name:
                self.all.pop(other).leave()
        code, said = self.why()
        self.assertEqual(code, "refused")
        self.assertEqual(said, f"{name} refused it, and no other agent offers the service s.")
        self.assertEqual(self.kit.agent("d").last.attempt, 2)

    def test_names(self) -> None:
        """
        Of those that are named, the others are asked.
        """
        self.begin(target={"agents": ["b", "c"], "count": 1})
        asked = [self.refuse()]
        self.wait()
        asked.append(self.refuse())
        self.assertEqual(sorted(asked), ["b", "c"])
        self.assertEqual(self.kit.verdicts("j"), {"refused": 1})

    def test_names_busy(self) -> None:
        """
        And waited for.
        """
        self.begin(target={"agents": ["b", "c"], "count": 1})
        name = self.refuse()
        [other] = {"b", "c"} - {name}
        self.kit.call(target={"agents": [other]})
        self.wait()
        self.assertEqual(self.kit.broker.gauges()["queued"], 1)
        self.all[other].result()
        self.assertEqual(self.all[other].last.attempt, 2)

    def test_one_name(self) -> None:
        """
        One alone is asked once.
        """
        self.begin(target={"agents": ["b"]})
        self.refuse()
        self.assertEqual(self.kit.verdicts("j"), {"refused": 1})

    def test_gone_meanwhile(self) -> None:
        """
        When it is due and all that are left have refused it, that is the
        verdict; it waits if nobody is left.
        """
        for job, leave, state in (("j", "bc", "refused"), ("k", "abc", "no-agent")):
            kit = self.kit = Kit()
            self.all = {name: kit.agent(name) for name in "abc"}
            self.begin(job=job, target="any")
            name = self.refuse()
            for other in "abc":
                if other != name or leave == "abc":
                    self.all.pop(other).leave()
            self.wait()
            if state == "refused":
                self.assertEqual(kit.verdicts(job), {"refused": 1})
            else:
                [said] = kit.ask("WHY", job=job).result["parts"]
                self.assertEqual(said["code"], state)
                self.assertEqual(kit.agent("d").last.attempt, 2)

    def test_restart(self) -> None:
        """
        Who refused it is known after a restart of the broker.
        """
        self.begin()
        asked = [self.refuse()]
        self.kit.crash()
        self.all = {name: self.kit.returned(agent) for name, agent in self.all.items()}
        for agent in self.all.values():
            agent.beat()
        for _ in range(2):
            self.wait()
            asked.append(self.refuse())
        self.assertEqual(sorted(asked), ["a", "b", "c"])
        self.assertEqual(self.kit.verdicts("j"), {"refused": 1})

    def test_cancelled_in_queue(self) -> None:
        """
        It can be taken out of the line of those that have not refused it.
        """
        self.begin()
        self.refuse()
        for name in self.all:
            self.kit.call(target={"agents": [name]})
        self.wait()
        self.assertEqual(self.why()[0], "all-full")
        self.kit.ask("CANCEL", job="j")
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        for agent in self.all.values():
            agent.result()
        self.assertEqual(self.kit.left(), {})


class QuarantineTests(RetryCase):
    """
    A part that costs agents their lives.
    """

    def setUp(self) -> None:
        """
        A broker without agents.
        """
        self.kit = Kit(Limits(attempts=100))

    def begin(self, **more: Any) -> None:
        """
        Submit a job that is worth many attempts.
        """
        self.submit(None, **{"attempts": 50, **more})

    def die(self, name: str = "a", *, before: str = "", **more: Any) -> FakeAgent:
        """
        A new agent begins, and is replaced by another incarnation.
        """
        agent = self.kit.agent(name, **more)
        if before:
            agent.reply(ReplyKind.PROGRESS, value=before)
        newcomer = self.kit.stranger(name, "idle")
        newcomer.announce()
        self.kit.advance(11.0, newcomer)
        newcomer.pong()
        newcomer.leave()
        return agent

    def losses(self) -> int:
        """
        How many agents the job has cost.
        """
        part: dict[str, Any] = self.kit.ask("JOB", job="j").result["parts"][0]
        losses: int = part["losses"]
        return losses

    def test_three(self) -> None:
        """
        After three it is quarantined, with the evidence, and no attempt more.
        """
        self.begin()
        for number in (1, 2, 3):
            self.assertEqual(self.losses(), number - 1)
            self.die(f"a{number}", before=f"step {number}")
        self.assertEqual(self.kit.verdicts("j"), {"quarantined": 1})
        said = self.kit.ask("JOB", job="j").result
        part = said["parts"][0]
        self.assertEqual(
            part["reason"],
            "It has cost 3 agents their lives, the latest a1 (attempt 1), a2 (attempt 2), a3 "
            '(attempt 3). The last that it said: "step 3"',
        )
        self.assertEqual([e["agent"] for e in part["evidence"]], ["a1", "a2", "a3"])
        self.assertEqual(
            [e["output"] for e in part["evidence"]], [f'"step {n}"' for n in (1, 2, 3)]
        )
        self.assertEqual([e["attempt"] for e in part["evidence"]], [1, 2, 3])
        [event] = self.events("part.quarantined")
        self.assertEqual((event["losses"], event["evidence"]), (3, part["evidence"]))
        self.assertEqual(self.kit.agent("b").deliveries, [])
        self.assertEqual(self.kit.left(), {})

    def test_property(self) -> None:
        """
        The job may say how many.
        """
        self.begin(max_lost=1)
        self.die()
        self.assertEqual(self.kit.verdicts("j"), {"quarantined": 1})

    def test_setting(self) -> None:
        """
        So may the broker.
        """
        self.kit = Kit(changes={"max_lost": 2})
        self.begin()
        self.die()
        self.die()
        self.assertEqual(self.kit.verdicts("j"), {"quarantined": 1})

    def test_last_attempt(self) -> None:
        """
        With one attempt it is lost, and counted; and the cost decides if
        there is none left either.
        """
        self.begin(attempts=1)
        self.die()
        self.assertEqual(self.kit.verdicts("j"), {"lost": 1})
        self.assertEqual(self.losses(), 1)
        self.begin(job="k", attempts=1, max_lost=1)
        self.die()
        self.assertEqual(self.kit.verdicts("k"), {"quarantined": 1})

    def test_silent(self) -> None:
        """
        An agent that is silent for too long is counted, and so is one that
        does not come back after a restart of the broker.
        """
        self.begin()
        self.kit.agent("a")
        self.kit.advance(11.0)
        self.assertEqual(self.losses(), 1)
        self.kit.agent("b")
        self.kit.crash()
        self.kit.advance(31.0)
        self.assertEqual(self.losses(), 2)

    def test_restart(self) -> None:
        """
        The count outlives the broker.
        """
        self.begin()
        self.die("a1")
        self.die("a2")
        self.kit.crash()
        self.assertEqual(self.losses(), 2)
        self.die("a3")
        self.assertEqual(self.kit.verdicts("j"), {"quarantined": 1})
        [event] = self.events("part.quarantined")
        self.assertEqual([e["agent"] for e in event["evidence"]], ["a1", "a2", "a3"])

    def test_not_counted(self) -> None:
        """
        Not counted is who left in order, was about to leave, did not hold
        it, gave it back, or had not begun.
        """
        self.begin()
        self.kit.agent("left").leave()
        agent = self.kit.agent("drained")
        agent.drain()
        self.kit.advance(11.0)
        agent = self.kit.agent("idle")
        for _ in range(8):
            self.kit.advance(2.0)
            agent.beat()
        agent.leave()
        agent = self.kit.agent("stopped")
        agent.cancelled()
        agent.leave()
        self.assertGreater(self.kit.count("attempts_lost"), 3)
        self.assertEqual(self.losses(), 0)
        self.assertEqual(self.kit.count("verdicts_quarantined"), 0)

    def test_never_delivered(self) -> None:
        """
        Nor is who was never given it, since the disk was too slow.
        """
        agent = self.kit.agent("a")
        self.kit.hold = True
        self.begin()
        agent.agents.unregistered(agent.route)
        other = self.kit.stranger("a")
        other.announce()
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(agent.deliveries, [])
        self.assertEqual(self.losses(), 0)

    def test_never_left(self) -> None:
        """
        Nor does one whose delivery could not leave: its agent never had it.
        Once the agent has named it, it had it.
        """
        for named in (False, True):
            with self.subTest(named=named):
                kit = Kit()
                agent = kit.agent()
                agent.route.reachable = False
                kit.submit(job="j", attempts=2, max_lost=1)
                if named:
                    agent.beat(agent.last)
                kit.advance(30.0)
                state = kit.ask("JOB", job="j").result["parts"][0]["state"]
                self.assertEqual(state, "done" if named else "queued")

    def test_prefetched(self) -> None:
        """
        Nor is what waited for a slot; unless it began or was heard of.
        """
        self.kit.agent("a", slots=1, prefetch=1)
        self.kit.call()
        self.begin()
        self.kit.advance(11.0)
        self.assertEqual(self.losses(), 0)
        for losses, kind in ((1, ReplyKind.STARTED), (2, ReplyKind.PROGRESS)):
            agent = self.kit.agent(f"b{losses}", "t", "s", slots=1, prefetch=1)
            if agent.last.job != "j":
                agent.result(agent.deliveries[0])
            agent.reply(kind)
            self.kit.advance(11.0)
            self.assertEqual(self.losses(), losses)

    def test_evidence_bounded(self) -> None:
        """
        The latest losses are kept, and of what was said last the beginning.
        """
        self.begin(max_lost=100)
        for number in range(KEPT + 2):
            self.die(f"a{number}", before="x" * 5000)
        evidence = self.kit.ask("JOB", job="j").result["parts"][0]["evidence"]
        self.assertEqual([e["agent"] for e in evidence], [f"a{n}" for n in range(2, KEPT + 2)])
        self.assertEqual({len(e["output"]) for e in evidence}, {1000})
        self.assertEqual(self.losses(), KEPT + 2)

    def test_process(self) -> None:
        """
        A process of an agent that dies counts as an agent does.
        """
        self.begin(max_lost=2)
        agent = self.kit.agent("a")
        agent.reply(ReplyKind.LOST, value="It died.")
        agent.reply(ReplyKind.LOST, value="It died.")
        self.assertEqual(self.kit.verdicts("j"), {"quarantined": 1})
        self.assertEqual(self.kit.count("agents_lost"), 0)

    def test_partial(self) -> None:
        """
        A partial result is an output as well.
        """
        self.begin(max_lost=1)
        agent = self.kit.agent("a")
        agent.partial(1, b"\xff half")
        self.kit.advance(11.0)
        reason = self.kit.ask("JOB", job="j").result["parts"][0]["reason"]
        self.assertTrue(reason.endswith("The last that it said: \ufffd half"), reason)

    def test_partial_restart(self) -> None:
        """
        After a restart at least its number is known.
        """
        self.begin(max_lost=1)
        self.kit.agent("a").partial(1, b"half")
        self.kit.crash()
        self.kit.advance(31.0)
        [entry] = self.kit.ask("JOB", job="j").result["parts"][0]["evidence"]
        self.assertEqual(entry["output"], "partial result 1")

    def test_call(self) -> None:
        """
        Calls are quarantined too; nothing is stored of them.
        """
        call = self.kit.call(attempts=9, max_lost=2)
        self.die()
        self.die()
        self.assertEqual(call.result["verdicts"], {"quarantined": 1})
        self.assertEqual(self.kit.ask("JOBS").result["jobs"], [])

    def test_cancelled(self) -> None:
        """
        What was to be cancelled is cancelled when its agent is lost.
        """
        self.begin(max_lost=1)
        self.kit.agent("a")
        self.kit.ask("CANCEL", job="j")
        self.kit.advance(11.0)
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})

    def test_others(self) -> None:
        """
        Only that part of a job is quarantined.
        """
        agents = [self.kit.agent(name) for name in "ab"]
        self.begin(target="all", max_lost=1)
        self.kit.advance(5.0, agents[0])
        self.kit.advance(6.0, agents[0])
        agents[0].result()
        self.assertEqual(self.kit.verdicts("j"), {"quarantined": 1, "succeeded": 1})
