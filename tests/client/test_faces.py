"""
The same tests for every face of the client.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.client import AsyncClient, Client, JobSpec, Submitted, TwistedClient
from jobroute.errors import (
    BadEndpoint,
    BadProperty,
    BrokerLost,
    Busy,
    JobConflict,
    JobNotDone,
    JobrouteError,
    NoSuchJob,
    NotConnected,
    NotEnoughAgents,
    Quarantined,
    UnknownOutcome,
    WaitTimeout,
)
from jobroute.model import Verdict
from tests.client.faces import AsyncFace, BlockingFace, TwistedFace

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    # The tests are run on each face, not by themselves.
    _Base = object


class FaceTests(_Base):
    """
    What every face does.
    """

    face_of: Callable[[], Any]

    def setUp(self) -> None:
        """
        Make a face, its broker and a client.
        """
        self.face = type(self).face_of()
        self.addCleanup(self.face.close)
        self.client = self.face.client()

    def do(self, name: str, *args: Any, **more: Any) -> Any:
        """
        What a method of the client gives in the end.
        """
        return self.face.do(self.client, name, *args, **more)

    def test_questions(self) -> None:
        """
        Each question has its answer.
        """
        self.assertEqual(self.do("ping", agents=False)["epoch"], 1)
        self.assertEqual(self.do("agents"), {"a1": {"slots": 1}})
        self.assertEqual(self.do("stats"), {"jobs": 0})
        submitted = self.do("submit", "echo", b"one", b"two", job="j")
        self.assertEqual(submitted, Submitted("j", 1, 1, False))
        self.assertTrue(self.do("submit", "echo", job="j").existing)
        self.assertEqual(self.do("job", "j"), {"job": "j", "events": []})
        self.assertEqual(self.do("why", "j")[0]["index"], 0)
        self.assertEqual(self.do("result", "j").frames, (b"one", b"two"))
        self.assertEqual(self.do("cancel", "j"), 0)
        self.assertIsNone(self.do("input", "j", b"more", index=0))
        page = self.do("jobs", limit=10, state="open", verdict="lost", service="echo")
        self.assertEqual([line.job for line in page.jobs], ["j"])
        self.assertEqual(page.next, 1)

    def test_operating(self) -> None:
        """
        Agents and services are stopped, and go on; one at a time.
        """
        self.assertEqual(self.do("drain", "a1")["outstanding"], 2)
        self.assertEqual(self.do("pause", "echo")["queued"], 2)
        self.assertEqual(self.do("resume", agent="a1"), {"agent": "a1"})
        self.assertEqual(self.do("resume", service="echo"), {"service": "echo"})
        self.assertRaises(BadProperty, self.do, "resume")
        self.assertRaises(BadProperty, self.do, "resume", agent="a1", service="echo")
        self.assertRaises(BadProperty, self.do, "drain", "no name!")

    def test_call(self) -> None:
        """
        A call gives an outcome.
        """
        outcome = self.do("call", "echo", b"hello", header={"x": [1, None]}, priority=3)
        self.assertEqual(outcome.data, b"hello")
        self.assertEqual(outcome.check(), outcome)
        (seen,) = self.face.broker.of("CALL")
        self.assertEqual(seen["header"], {"x": [1, None]})
        self.assertEqual(seen["priority"], 3)

    def test_again(self) -> None:
        """
        What has ended can be submitted again; what is quarantined, on
        insistence.
        """
        for job, service in (("j", "fail"), ("p", "poison")):
            self.do("submit", service, job=job)
        self.assertEqual(self.do("retry", "j", new="k", everything=True).job, "k")
        self.assertFalse(self.do("retry", "j").existing)
        self.assertRaises(Quarantined, self.do, "retry", "p")
        self.assertEqual(self.do("retry", "p", new="q", force=True).job, "q")
        seen = self.face.broker.of("RETRY")
        self.assertEqual(seen[0]["all"], True)
        self.assertNotIn("force", seen[0])
        page = self.do("quarantine", service="poison", limit=1)
        self.assertEqual(page["parts"], [{"job": "p", "index": 0}])
        self.assertEqual(self.do("quarantine_drop", "p", 0), 1)
        self.assertRaises(BadProperty, self.do, "retry", "j", new="-")

    def test_failed(self) -> None:
        """
        A job that did not succeed is an outcome.
        """
        outcome = self.do("call", "fail")
        self.assertEqual(outcome.parts[0].verdict, Verdict.FAILED)
        self.assertEqual(outcome.parts[0].reason, "It broke.")

    def test_errors(self) -> None:
        """
        What the broker refuses is raised as what it is.
        """
        self.assertRaises(NoSuchJob, self.do, "wait", "nobody")
        self.do("submit", "hold", job="j")
        self.assertRaises(JobNotDone, self.do, "result", "j")
        self.assertRaises(Busy, self.do, "call", "busy")

    def test_bad_arguments(self) -> None:
        """
        What is wrong is said at once, and nothing is sent.
        """
        wrong: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
            ("call", ("no name!",), {}),
            ("call", ("echo", "text"), {}),
            ("call", ("echo",), {"priority": 1001}),
            ("call", ("echo",), {"attempts": True}),
            ("call", ("echo",), {"run_limit": 0}),
            ("call", ("echo",), {"deadline": float("nan")}),
            ("call", ("echo",), {"target": "a1"}),
            ("call", ("echo",), {"target": ["a1", "a1"]}),
            ("call", ("echo",), {"header": float("inf")}),
            ("call", ("echo",), {"on_part": 3}),
            ("submit", ("echo",), {"job": "no/name"}),
            ("wait", ("j",), {"timeout": -1}),
            ("result", ("j", -1), {}),
            ("jobs", (), {"state": "shut"}),
            ("jobs", (), {"verdict": "good"}),
        ]
        for name, args, more in wrong:
            self.assertRaises(BadProperty, self.do, name, *args, **more)
        self.assertEqual(self.face.broker.seen, [])

    def test_bad_constructor(self) -> None:
        """
        So are the client's own arguments.
        """
        wrong: list[dict[str, Any]]
        wrong = [{"namespace": ""}, {"name": "x y"}, {"timeout": 0}, {"timeout": None}]
        for more in wrong:
            self.assertRaises(BadProperty, self.face.client, **more)
        self.face.url = "http://nowhere"
        self.assertRaises(BadEndpoint, self.face.client)

    def test_names(self) -> None:
        """
        The client says whose jobs they are.
        """
        self.client = self.face.client(namespace="night", name="cron")
        self.do("submit", "echo")
        (seen,) = self.face.broker.of("SUBMIT")
        self.assertEqual((seen["namespace"], seen["client"]), ("night", "cron"))
        self.assertRegex(seen["job"], "^[0-9a-f]{27}$")

    def test_streams(self) -> None:
        """
        Progress, partial results and parts are told while the call goes on.
        """
        told: list[Any] = []
        self.do(
            "call",
            "story",
            b"end",
            on_progress=lambda progress: told.append(progress.value),
            on_partial=lambda partial: told.append((partial.sequence, partial.frames)),
            on_part=lambda part: told.append(part.frames),
        )
        self.assertEqual(told, [0.5, (1, (b"1",)), 1.0, (2, (b"2",)), (b"end",)])

    def test_callback_raises(self) -> None:
        """
        What a callback raises comes out of the call, which is cancelled.
        """

        def progress(value: Any) -> None:
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.do, "call", "tale", on_progress=progress)
        self.assertTrue(self.face.settle(lambda: bool(self.face.broker.of("CANCEL"))))

    def test_wait(self) -> None:
        """
        A wait ends when the job does.
        """
        self.do("submit", "hold", b"x", job="j")
        self.face.release("j")
        self.assertEqual(self.do("wait", "j").data, b"x")

    def test_wait_timeout(self) -> None:
        """
        Or when its time is over.
        """
        self.do("submit", "hold", job="j")
        self.assertRaises(WaitTimeout, self.do, "wait", "j", timeout=0.1)
        self.assertIsNone(self.face.broker.jobs["j"]["verdict"])

    def test_call_timeout(self) -> None:
        """
        A call that takes too long is cancelled.
        """
        self.assertRaises(WaitTimeout, self.do, "call", "hold", timeout=0.1)
        cancelled = self.face.settle(lambda: self.face.broker.jobs["1"]["verdict"] == "cancelled")
        self.assertTrue(cancelled)

    def test_omitted(self) -> None:
        """
        Results that were too large for one answer are fetched.
        """
        self.do("submit", "large", b"big", job="j", target=["a0", "a1"])
        outcome = self.do("wait", "j")
        self.assertEqual([part.frames for part in outcome.parts], [(b"big",), (b"big",)])
        self.assertEqual(len(self.face.broker.of("RESULT")), 2)
        outcome = self.do("call", "large", b"big", target={"agents": ["a0", "a1"], "count": 2})
        self.assertEqual([part.frames for part in outcome.parts], [(b"big",), (b"big",)])
        self.assertEqual(len(self.face.broker.of("RESULT")), 2)

    def test_broker_lost(self) -> None:
        """
        A broker that does not answer is lost.
        """
        self.client = self.face.client(timeout=0.3)
        self.face.deaf = True
        self.assertRaises(BrokerLost, self.do, "ping")
        self.assertRaises(BrokerLost, self.do, "call", "echo")

    def test_restart(self) -> None:
        """
        A wait survives a restart of the broker, a call does not.
        """
        self.client = self.face.client(timeout=2.0)
        self.do("submit", "hold", job="j")
        self.face.broker.restart()
        self.assertRaises(WaitTimeout, self.do, "wait", "j", timeout=0.1)

        def progress(value: Any) -> None:
            self.face.broker.restart()

        self.assertRaises(UnknownOutcome, self.do, "call", "tale", on_progress=progress)
        self.assertEqual(len(self.face.broker.of("CALL")), 1)

    def test_retry(self) -> None:
        """
        A busy broker is asked again if that is asked for.
        """
        self.assertTrue(self.do("call", "busy", retry=True).succeeded)

    def test_submit_many(self) -> None:
        """
        Many jobs are handed in at once; what is wrong with one is its own.
        """
        jobs = [
            {"payload": b"one", "job": "first"},
            JobSpec(service="echo", payload=(b"two", b"", b"three")),
            {"service": "none"},
            {"priority": "high"},
            {"colour": "red"},
            "nonsense",
        ]
        done = self.do("submit_many", jobs, service="echo", priority=5)
        self.assertEqual(done[0], Submitted("first", 1, 1))
        self.assertIsInstance(done[1], Submitted)
        self.assertIsInstance(done[2], NotEnoughAgents)
        for wrong in done[3:]:
            self.assertIsInstance(wrong, BadProperty)
        self.assertEqual(self.do("result", done[1].job).frames, (b"two", b"", b"three"))
        (seen,) = self.face.broker.of("SUBMIT_MANY")
        self.assertEqual([job.get("priority") for job in seen["jobs"]], [5, None, 5])

    def test_submit_very_many(self) -> None:
        """
        More jobs than one message takes go into several; none into none.
        """
        done = self.do("submit_many", ({"service": "echo"} for _ in range(10_001)))
        self.assertEqual(len({submitted.job for submitted in done}), 10_001)
        self.assertEqual(len(self.face.broker.of("SUBMIT_MANY")), 2)
        self.assertEqual(self.do("submit_many", []), [])
        self.assertEqual(len(self.face.broker.of("SUBMIT_MANY")), 2)

    def test_map(self) -> None:
        """
        Every payload has its outcome, in order.
        """
        told: list[tuple[int, int | None]] = []
        payloads = [b"%d" % n for n in range(25)]
        for durable in (False, True):
            results = self.client.map(
                "echo",
                payloads,
                window=4,
                durable=durable,
                progress=lambda done, total: told.append((done, total)),
            )
            outcomes = self.face.take(results)
            self.assertEqual([outcome.data for outcome in outcomes], payloads)
            self.assertEqual([outcome.position for outcome in outcomes], list(range(25)))
            self.assertEqual(told[-1], (25, 25))
        self.assertEqual(len(self.face.broker.of("CALL")), 25)
        self.assertEqual(len(self.face.broker.of("WAIT")), 25)

    def test_map_unordered(self) -> None:
        """
        Or as they are done; a payload may be several frames.
        """
        payloads = ([b"a", b"%d" % n] for n in range(9))
        outcomes = self.face.take(self.client.map("echo", payloads, ordered=False, window=3))
        self.assertEqual({outcome.frames[1] for outcome in outcomes}, {b"%d" % n for n in range(9)})

    def test_map_window(self) -> None:
        """
        Never more than the window is under way, and closing cancels it.
        """
        for durable in (False, True):
            self.face.broker.seen.clear()
            read: list[int] = []

            def payloads(read: list[int] = read) -> Any:
                for n in range(1000):
                    read.append(n)
                    yield b"x"

            results = self.client.map("echo", payloads(), window=5, durable=durable)
            self.assertEqual(len(self.face.take(results, 3)), 3)
            self.assertLessEqual(len(read), 8)
            self.face.leave(results)
            self.assertEqual(self.face.take(results), [])

    def test_map_closed(self) -> None:
        """
        What is under way when a map ends is cancelled.
        """
        held = [b"x"] * 3
        for durable in (False, True):
            self.face.broker.jobs.clear()
            results = self.client.map("hold", held, window=3, durable=durable, timeout=0.2)
            self.assertRaises(WaitTimeout, self.face.take, results)
            ended = self.face.settle(
                lambda: all(job["verdict"] for job in self.face.broker.jobs.values())
            )
            self.assertTrue(ended)
            self.assertEqual(len(self.face.broker.jobs), 3)

    def test_map_bad(self) -> None:
        """
        Bad arguments are said at once, a bad payload when it is read.
        """
        self.assertRaises(BadProperty, self.client.map, "echo", [], window=0)
        self.assertRaises(BadProperty, self.client.map, "no name!", [])
        results = self.client.map("echo", [b"x", "text"], window=1)
        self.assertEqual(len(self.face.take(results, 1)), 1)
        self.assertRaises(BadProperty, self.face.take, results)
        self.assertEqual(self.face.take(results), [])

    def test_map_progress_raises(self) -> None:
        """
        What the progress callback raises ends the map.
        """

        def progress(done: int, total: int | None) -> None:
            raise ZeroDivisionError

        results = self.client.map("echo", [b"x"] * 9, window=1, progress=progress)
        self.assertRaises(ZeroDivisionError, self.face.take, results)

    def test_closed(self) -> None:
        """
        A closed client answers nothing, and may be closed again.
        """
        self.do("ping")
        self.do("close")
        self.do("close")
        self.assertRaises(NotConnected, self.do, "ping")
        never_used = self.face.client()
        self.face.do(never_used, "close")
        self.assertRaises(NotConnected, self.face.do, never_used, "ping")

    def test_errors_of_ours(self) -> None:
        """
        All of these errors have one base.
        """
        for kind in (BrokerLost, JobConflict, WaitTimeout, NotConnected, BadProperty):
            self.assertTrue(issubclass(kind, JobrouteError))


def make_face_tests(face: Callable[[], Any]) -> type[SynchronousTestCase]:
    """
    The tests of L{FaceTests} for one face.
    """
    name = f"{face.__name__}Tests"
    made = type(name, (FaceTests, SynchronousTestCase), {"face_of": staticmethod(face)})
    made.__module__ = __name__
    made.__qualname__ = name
    return made


BlockingFaceTests = make_face_tests(BlockingFace)
TwistedFaceTests = make_face_tests(TwistedFace)
AsyncFaceTests = make_face_tests(AsyncFace)


class SignatureTests(SynchronousTestCase):
    """
    The faces look the same.
    """

    def methods(self, face: type) -> dict[str, list[tuple[str, Any, Any, Any]]]:
        """
        The public methods of a face, with their arguments.
        """
        return {
            name: [
                (p.name, p.kind, p.default, p.annotation)
                for p in inspect.signature(method).parameters.values()
            ]
            for name, method in inspect.getmembers(face, callable)
            if not name.startswith("_")
        }

    def test_methods(self) -> None:
        """
        The same methods with the same arguments, documented.
        """
        blocking = self.methods(Client)
        for face in (TwistedClient, AsyncClient):
            self.assertEqual(self.methods(face), blocking)
            for name in blocking:
                self.assertTrue(getattr(face, name).__doc__, name)

    def test_constructors(self) -> None:
        """
        What the blocking one is made with, the others are made with, too.
        """
        for face in (TwistedClient, AsyncClient):
            parameters = inspect.signature(face).parameters
            for name, parameter in inspect.signature(Client).parameters.items():
                self.assertEqual(parameter, parameters[name])
