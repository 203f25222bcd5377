"""
The same tests for every face of the client, and those of the sockets below
them.
"""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import zmq
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jobroute.client import Client, JobSpec, Outcome, Submitted, TwistedClient
from jobroute.client.channel import Channel
from jobroute.client.connection import Connection, Results
from jobroute.client.core import Core
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
    UnknownOutcome,
    WaitTimeout,
)
from jobroute.interfaces import (
    IClock,
    IMessageFactory,
    IMessageProtocol,
    IMessageTransport,
    SocketKind,
)
from jobroute.model import Verdict
from jobroute.zeromq.memory import MemoryNetwork
from tests.client.broker import FakeBroker

if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    # The tests are run on each face, not by themselves.
    _Base = object


class BlockingFace:
    """
    The blocking client, and a broker on a real ROUTER in a thread.
    """

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.url = f"ipc://{self.folder}/frontend.ipc"
        self.context = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.linger = 0
        self.router.bind(self.url)
        self.stop = threading.Event()
        self.lock = threading.RLock()
        self.broker = FakeBroker(self._send)
        self.deaf = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        self.clients: list[Client] = []

    def _send(self, frames: list[bytes]) -> None:
        self.router.send_multipart(frames)

    def _serve(self) -> None:
        while not self.stop.is_set():
            if self.router.poll(20):
                frames = self.router.recv_multipart()
                with self.lock:
                    if not self.deaf:
                        self.broker.received(frames)

    def client(self, **more: Any) -> Client:
        """
        A new client.
        """
        client = Client(self.url, **{"timeout": 10.0, **more})
        self.clients.append(client)
        return client

    def do(self, client: Any, name: str, *args: Any, **more: Any) -> Any:
        """
        Call a method and return what it gives in the end.
        """
        return getattr(client, name)(*args, **more)

    def take(self, iterator: Any, most: int = 10**9) -> list[Outcome]:
        """
        What comes from an iterator.
        """
        taken: list[Outcome] = []
        while len(taken) < most:
            try:
                taken.append(next(iterator))
            except StopIteration:
                break
        return taken

    def release(self, job: str) -> None:
        """
        A job is done, in this moment.
        """
        # The client waits in this thread, the broker lives in another.
        timer = threading.Timer(0.05, self._release, (job,))
        timer.start()

    def _release(self, job: str) -> None:
        with self.lock:
            self.broker.release(job)

    def settle(self, condition: Callable[[], bool]) -> bool:
        """
        Wait until something is so.
        """
        patience = threading.Event()
        for _ in range(300):
            with self.lock:
                if condition():
                    return True
            patience.wait(0.01)
        return False

    def close(self) -> None:
        """
        End everything.
        """
        for client in self.clients:
            client.close()
        self.stop.set()
        self.thread.join()
        self.router.close()
        self.context.term()
        shutil.rmtree(self.folder)


@implementer(IClock)
class ReactorClock:
    """
    Both clocks of a reactor that is none.
    """

    def __init__(self, reactor: Clock) -> None:
        self._reactor = reactor

    def monotonic(self) -> float:
        """
        Seconds.
        """
        return self._reactor.seconds()

    def wall(self) -> float:
        """
        Seconds since 1970.
        """
        return 1_700_000_000.0 + self._reactor.seconds()


@implementer(IMessageProtocol, IMessageFactory)
class BrokerProtocol:
    """
    A broker on the in-memory network.
    """

    def __init__(self, face: TwistedFace) -> None:
        self.face = face
        self.transport: IMessageTransport

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        There is one.
        """
        return self

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        It listens.
        """
        self.transport = transport

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        A request.
        """
        if not self.face.deaf:
            self.face.broker.received(frames)

    def connectionLost(self, reason: Failure) -> None:
        """
        It is over.
        """


class TwistedFace:
    """
    The client for reactors, and a broker on the in-memory network.
    """

    def __init__(self) -> None:
        self.reactor = Clock()
        self.url = "tcp://127.0.0.1:7780"
        self.network = MemoryNetwork(self.reactor, Random(1))
        protocol = BrokerProtocol(self)
        self.deaf = False
        self.network.endpoint(SocketKind.ROUTER, self.url).listen(protocol)
        self.broker = FakeBroker(protocol.transport.send)
        self.clients: list[TwistedClient] = []

    def client(self, **more: Any) -> TwistedClient:
        """
        A new client.
        """
        client = TwistedClient(
            self.url,
            reactor=self.reactor,
            network=self.network,
            clock=ReactorClock(self.reactor),
            random=Random(7),
            **{"timeout": 10.0, **more},
        )
        self.clients.append(client)
        return client

    def do(self, client: Any, name: str, *args: Any, **more: Any) -> Any:
        """
        Call a method and return what it gives in the end.
        """
        given = getattr(client, name)(*args, **more)
        return self.result(given) if isinstance(given, Deferred) else given

    def result(self, deferred: Deferred[Any]) -> Any:
        """
        What a Deferred gives in the end.
        """
        results: list[Any] = []
        deferred.addBoth(results.append)
        for _ in range(4000):
            if results:
                break
            self.reactor.advance(0.05)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def take(self, iterator: Results, most: int = 10**9) -> list[Outcome]:
        """
        What comes from an iterator.
        """
        taken: list[Outcome] = []
        while len(taken) < most:
            try:
                taken.append(self.result(iterator.next()))
            except StopAsyncIteration:
                break
        return taken

    def release(self, job: str) -> None:
        """
        A job is done, in this moment.
        """
        self.reactor.callLater(0.05, self.broker.release, job)

    def settle(self, condition: Callable[[], bool]) -> bool:
        """
        Wait until something is so.
        """
        for _ in range(300):
            if condition():
                return True
            self.reactor.advance(0.01)
        return False

    def close(self) -> None:
        """
        End everything.
        """
        for client in self.clients:
            client.close()
        self.network.close()


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
            results.close()
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
        blocking, twisted = self.methods(Client), self.methods(TwistedClient)
        self.assertEqual(sorted(blocking), sorted(twisted))
        for name in blocking:
            self.assertEqual(blocking[name], twisted[name], name)
            for face in (Client, TwistedClient):
                self.assertTrue(getattr(face, name).__doc__, name)

    def test_constructors(self) -> None:
        """
        What the blocking one is made with, the other one is made with, too.
        """
        blocking = inspect.signature(Client).parameters
        twisted = inspect.signature(TwistedClient).parameters
        for name, parameter in blocking.items():
            self.assertEqual(parameter, twisted[name])


class BlockingTests(SynchronousTestCase):
    """
    What only the blocking face does.
    """

    def setUp(self) -> None:
        """
        Make the face and its broker.
        """
        self.face = BlockingFace()
        self.addCleanup(self.face.close)

    def test_with(self) -> None:
        """
        A client closes itself.
        """
        with self.face.client() as client:
            client.ping()
        self.assertRaises(NotConnected, client.ping)

    def test_environment(self) -> None:
        """
        The environment says where the broker is if nobody else does.
        """
        self.patch(os, "environ", {**os.environ, "JOBROUTE_BROKER": self.face.url})
        with Client() as client:
            self.assertEqual(client.ping(agents=False)["epoch"], 1)

    def test_threads(self) -> None:
        """
        Several threads ask at the same time, none waiting for another.
        """
        client = self.face.client()
        found: dict[int, bytes] = {}

        def work(number: int) -> None:
            for _ in range(5):
                found[number] = client.call("echo", b"%d" % number).data

        held = threading.Thread(target=client.call, args=("hold",), daemon=True)
        held.start()
        self.assertTrue(self.face.settle(lambda: bool(self.face.broker.jobs)))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, {n: b"%d" % n for n in range(4)})
        self.face.release("1")
        held.join()

    def test_closed_by_another_thread(self) -> None:
        """
        Closing a client ends the waits of all its threads.
        """
        client = self.face.client()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                client.call("hold")
            except NotConnected as e:
                errors.append(e)

        thread = threading.Thread(target=work)
        thread.start()
        self.assertTrue(self.face.settle(lambda: bool(self.face.broker.jobs)))
        client.close()
        thread.join()
        self.assertEqual(len(errors), 1)
        cancelled = self.face.settle(lambda: bool(self.face.broker.jobs["1"]["verdict"]))
        self.assertTrue(cancelled)

    def test_interrupted(self) -> None:
        """
        An interrupt ends a call, cancels it, and leaves the client usable.
        """
        client = self.face.client()
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        self.assertRaises(KeyboardInterrupt, client.call, "hold")
        cancelled = self.face.settle(lambda: bool(self.face.broker.jobs["1"]["verdict"]))
        self.assertTrue(cancelled)
        self.assertEqual(client.call("echo", b"x").data, b"x")

    def test_forked(self) -> None:
        """
        A forked process is told to make its own client.
        """
        client = self.face.client()
        client.ping()
        process = os.getpid()
        self.patch(os, "getpid", lambda: process + 1)
        self.assertRaises(NotConnected, client.ping)
        client.close()
        self.patch(os, "getpid", lambda: process)
        client.ping()

    def test_callback_asks(self) -> None:
        """
        A callback may use the client.
        """
        client = self.face.client()
        stats: list[Any] = []
        client.call("story", on_progress=lambda progress: stats.append(client.stats()))
        self.assertEqual(stats, [{"jobs": 1}, {"jobs": 1}])

    def test_ended_thread(self) -> None:
        """
        The socket of a thread that ended is closed.
        """
        client = self.face.client()
        closed: list[str] = []
        original = Channel.__del__

        def ended(channel: Channel) -> None:
            original(channel)
            closed.append("closed")

        self.patch(Channel, "__del__", ended)
        thread = threading.Thread(target=client.ping)
        thread.start()
        thread.join()
        self.assertTrue(self.face.settle(lambda: bool(closed)))


class TwistedTests(SynchronousTestCase):
    """
    What only the face for reactors does.
    """

    def setUp(self) -> None:
        """
        Make the face and its broker.
        """
        self.face = TwistedFace()
        self.addCleanup(self.face.close)
        self.client = self.face.client()

    def test_interfaces(self) -> None:
        """
        What provides an interface does.
        """
        self.assertTrue(verifyObject(IClock, ReactorClock(self.face.reactor)))
        endpoint = self.face.network.endpoint(SocketKind.DEALER, self.face.url)
        clock = ReactorClock(self.face.reactor)
        connection = Connection(endpoint, self.face.reactor, clock, Core(1.0, Random(1)))
        for provider in (connection, BrokerProtocol(self.face)):
            self.assertTrue(verifyObject(IMessageFactory, provider))
        self.assertTrue(verifyObject(IMessageProtocol, connection))

    def test_cancelled(self) -> None:
        """
        Cancelling the Deferred of a call cancels the job.
        """
        calling = self.client.call("hold")
        self.face.reactor.advance(0.1)
        calling.cancel()
        self.failureResultOf(calling, CancelledError)
        self.assertTrue(
            self.face.settle(lambda: self.face.broker.jobs["1"]["verdict"] == "cancelled")
        )

    def test_async_for(self) -> None:
        """
        A map is an asynchronous iterator.
        """

        async def collect() -> list[bytes]:
            async with self.client as client:
                return [outcome.data async for outcome in client.map("echo", [b"a", b"b"])]

        self.assertEqual(self.face.result(Deferred.fromCoroutine(collect())), [b"a", b"b"])

    def test_several_next(self) -> None:
        """
        Several may be asked for before the first is there; one that is
        cancelled takes nothing away.
        """
        results = self.client.map("echo", [b"a", b"b"])
        waiting = [results.next() for _ in range(4)]
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.face.reactor.advance(1)
        self.face.reactor.advance(1)
        self.assertEqual(self.successResultOf(waiting[0]).data, b"a")
        self.assertEqual(self.successResultOf(waiting[2]).data, b"b")
        self.failureResultOf(waiting[3], StopAsyncIteration)

    def test_network_closed(self) -> None:
        """
        When the network goes, every request hears of it.
        """
        calling = self.client.call("hold")
        self.face.reactor.advance(0.1)
        self.face.network.close()
        self.face.reactor.advance(0.1)
        self.failureResultOf(calling, NotConnected)
        self.failureResultOf(self.client.ping(), NotConnected)

    def test_nothing_left(self) -> None:
        """
        A closed client leaves nothing in the reactor.
        """
        self.face.do(self.client, "ping")
        self.face.do(self.client, "close")
        self.face.network.close()
        self.assertEqual(self.face.reactor.getDelayedCalls(), [])
