"""
Tests of L{jobroute.broker.verdicts} and L{jobroute.broker.gathering}: what
those who wait are told.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from jobroute.errors import StorageError
from jobroute.interfaces import AnswerKind
from jobroute.model import Frames, ReplyKind
from tests.broker.kit import FakeAgent, Kit, Reply


class OutcomeTests(SynchronousTestCase):
    """
    The outcome of a job.
    """

    def setUp(self) -> None:
        self.kit = Kit(Limits(frames=4, message=1000))
        self.agents = [self.kit.agent(name) for name in "abc"]

    def each(self, *frames: bytes) -> None:
        """
        Let each agent give this result, the last one first.
        """
        for agent in reversed(self.agents):
            agent.result(None, *frames)

    def outcomes(self) -> dict[str, Reply]:
        """
        The outcome of a job for all, as a call, to one who waits, to one who
        asks when it is done, and to one who asks the store.
        """
        call = self.kit.call(target="all")
        self.each(*self.frames)
        self.kit.submit(job="j", target="all")
        wait = self.kit.ask("WAIT", job="j")
        self.each(*self.frames)
        recent = self.kit.ask("WAIT", job="j")
        self.kit.advance(60, *self.agents)
        return {"call": call, "wait": wait, "recent": recent, "old": self.kit.ask("WAIT", job="j")}

    frames: tuple[bytes, ...] = ()

    def test_results_in_order(self) -> None:
        """
        The results of all parts in order, in whatever order they came.
        """
        call = self.kit.call(target="all")
        for agent in reversed(self.agents):
            agent.result(None, agent.name.encode())
        self.assertEqual(call.payload, (b"a", b"b", b"c"))
        self.assertEqual([p["agent"] for p in call.result["parts"]], ["a", "b", "c"])

    def test_many_frames(self) -> None:
        """
        At the limit of frames the results are there; one past it they are
        left out.
        """
        kit = self.kit
        for last, omitted in ((2, False), (3, True)):
            call = kit.call(target="all")
            kit.submit(job=f"j{last}", target="all")
            wait = kit.ask("WAIT", job=f"j{last}")
            for _ in range(2):
                for agent, frames in zip(self.agents, (1, 1, last), strict=True):
                    agent.result(None, *[b"x"] * frames)
            for reply in (call, wait, kit.ask("WAIT", job=f"j{last}")):
                self.assertEqual(len(reply.payload), 0 if omitted else 4)
                for part in reply.result["parts"]:
                    self.assertEqual(part.get("omitted", False), omitted)
                    self.assertEqual(part["frames"] == 0, omitted)
            result = kit.ask("RESULT", job=f"j{last}", index=2)
            self.assertEqual((result.result["frames"], len(result.payload)), (last, last))

    def test_many_bytes(self) -> None:
        """
        The same for the limit of bytes.
        """
        for size, omitted in ((500, False), (501, True)):
            call = self.kit.call(target={"count": 2})
            self.kit.submit(job=f"j{size}", target={"count": 2})
            wait = self.kit.ask("WAIT", job=f"j{size}")
            for agent in [*self.agents] * 2:
                if agent.route.agent.held:
                    key = next(iter(agent.route.agent.held))
                    delivery = next(d for d in agent.deliveries if (d.part, d.attempt) == key)
                    agent.result(delivery, b"x" * (size if delivery.index else 500))
            for reply in (call, wait):
                self.assertEqual(
                    [part.get("omitted", False) for part in reply.result["parts"]], [omitted] * 2
                )

    def test_no_results(self) -> None:
        """
        Where there are none, none are left out.
        """
        for how, reply in self.outcomes().items():
            self.assertEqual(
                [("omitted" in p, p["frames"]) for p in reply.result["parts"]],
                [(False, 0)] * 3,
                how,
            )

    def test_same_everywhere(self) -> None:
        """
        The outcome is the same wherever it comes from, but for the numbers.
        """
        self.frames = (b"x",)
        outcomes = self.outcomes()
        call = outcomes.pop("call")
        for reply in outcomes.values():
            self.assertEqual(reply.result["parts"], call.result["parts"])
            self.assertEqual(reply.payload, call.payload)
            self.assertEqual(reply.result["verdicts"], {"succeeded": 3})
            self.assertEqual((reply.result["job"], reply.result["state"]), ("j", "done"))

    def test_parts_streamed(self) -> None:
        """
        Each part with its result, as soon as it is done, if asked for.
        """
        call = self.kit.call(target="all", stream=["part"])
        self.agents[1].result(None, b"from b")
        ((part, frames),) = call.of(AnswerKind.PART)
        self.assertEqual((part["index"], part["agent"], frames), (1, "b", (b"from b",)))
        self.agents[0].reply(ReplyKind.FAILURE, value="No.")
        self.agents[2].result()
        self.assertEqual(
            [(p["index"], str(p["verdict"])) for p, _ in call.of(AnswerKind.PART)],
            [(1, "succeeded"), (0, "failed"), (2, "succeeded")],
        )
        self.assertEqual(call.result["parts"][0]["reason"], "No.")

    def test_unreadable(self) -> None:
        """
        When the results of a job cannot be read, those who wait are told so.
        """
        self.kit.submit(job="j", target="all")
        wait = self.kit.ask("WAIT", job="j", timeout=100)

        def result(disk: Any, part: int) -> Deferred[Frames]:
            return fail(self.error)

        self.patch(type(self.kit.disk), "result", result)
        self.error: Exception = StorageError("The disk is gone.")
        self.each(b"x")
        self.assertEqual((wait.code, wait.text), ("storage", "The disk is gone."))
        self.assertEqual(self.kit.left(), {})
        self.error = ZeroDivisionError()
        self.kit.submit(job="k", target="all")
        wait = self.kit.ask("WAIT", job="k")
        self.each(b"x")
        self.assertEqual(wait.code, "internal-error")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_event(self) -> None:
        """
        One event a verdict, in the history with who and why.
        """
        self.kit.submit(job="j", target="all")
        self.agents[0].reply(ReplyKind.FAILURE, value="No.")
        self.agents[0].result(self.agents[0].last)
        events = self.kit.ask("JOB", job="j").result["events"]
        (ended,) = [e for e in events if e["kind"] == "part.ended"]
        self.assertEqual(
            (ended["index"], ended["agent"], ended["verdict"], ended["reason"]),
            (0, "a", "failed", "No."),
        )


class ResultTests(SynchronousTestCase):
    """
    C{RESULT}.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.a, self.b = self.kit.agent("a"), self.kit.agent("b")
        self.kit.submit(job="j", target="all")

    def ask(self, index: int = 0, job: str = "j") -> Reply:
        """
        Ask for a result.
        """
        return self.kit.ask("RESULT", job=job, index=index)

    def test_live(self) -> None:
        """
        Of a job that goes on, the parts that are done have their results.
        """
        self.a.result(None, b"x", b"y")
        self.assertEqual(self.ask().payload, (b"x", b"y"))
        self.assertEqual(
            self.ask().result,
            {"index": 0, "verdict": "succeeded", "agent": "a", "attempts": 1, "frames": 2},
        )
        self.assertEqual(self.ask(1).code, "not-done")
        self.assertEqual(self.ask(2).code, "bad-property")

    def test_ended(self) -> None:
        """
        Of a job that ended, all.
        """
        self.a.result(None, b"x")
        self.b.reply(ReplyKind.FAILURE, value="No.")
        self.assertEqual(self.ask().payload, (b"x",))
        self.assertEqual((self.ask(1).result["reason"], self.ask(1).payload), ("No.", ()))
        self.assertEqual(self.ask(2).code, "bad-property")

    def test_not_on_disk(self) -> None:
        """
        A verdict that is not on disk is none yet, nor is a job.
        """
        self.kit.hold = True
        self.a.result(None, b"x")
        self.assertEqual(self.ask().code, "not-done")
        self.kit.submit(job="k")
        self.assertEqual(self.ask(0, "k").code, "not-done")

    def test_unknown(self) -> None:
        """
        A job that nobody knows.
        """
        self.assertEqual(self.ask(0, "z").code, "no-such-job")


class OneVerdictTests(SynchronousTestCase):
    """
    A part has one verdict, whatever is said.
    """

    def test_race(self) -> None:
        """
        Cancel, run limit, deadline, result and loss together.
        """
        kit = Kit()
        agent: FakeAgent = kit.agent()
        kit.submit(job="j", run_limit=1, deadline=1.05, attempts=3)
        waits = [kit.ask("WAIT", job="j", stream=["part", "partial", "progress"]) for _ in "ab"]
        kit.hold = True
        kit.ask("CANCEL", job="j")
        kit.advance(3, agent)
        agent.result()
        agent.cancelled()
        agent.leave()
        kit.hold = False
        kit.settle()
        for wait in waits:
            self.assertEqual([k for k, _, _ in wait.answers], [AnswerKind.PART, AnswerKind.RESULT])
        self.assertEqual(sum(kit.verdicts("j").values()), 1)
        self.assertEqual(kit.history("j").count("part.ended"), 1)
        self.assertEqual(kit.left(), {})
