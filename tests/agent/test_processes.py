"""
Tests of functions in processes: what they are given and say, and how they and
their processes end.
"""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import service
from jobroute.agent.context import Context
from jobroute.agent.functions import Failed, Lost, Refuse, collect
from jobroute.agent.processes import Pooling, Processes, names_of, pooling
from jobroute.config import Limits
from jobroute.errors import ConfigurationError
from jobroute.model import Advice, Frames
from tests.agent import services
from tests.agent.hosts import HostCase, lives, reactor

MIB = 1024 * 1024


class PoolingTests(SynchronousTestCase):
    """
    What is wanted of processes.
    """

    def test_wrong(self) -> None:
        """
        What cannot be is refused by name.
        """
        for wrong, named in (
            (Pooling(0), "processes"),
            (Pooling(True), "processes"),
            (Pooling(1001), "processes"),
            (Pooling(1, memory=0), "memory limit"),
            (Pooling(1, tasks=0), "tasks per child"),
        ):
            error = self.assertRaises(ConfigurationError, wrong.check, Limits())
            self.assertIn(named, str(error))
        Pooling(1000, 1, 1).check(Limits())

    def test_alone(self) -> None:
        """
        What is for processes only is refused without them.
        """
        self.assertIs(pooling(None, None, None, 5.0), None)
        self.assertEqual(pooling(2, 3, 4, 5.0), Pooling(2, 3, 4, 5.0))
        self.assertRaises(ConfigurationError, pooling, None, 1, None, 5.0)
        self.assertRaises(ConfigurationError, pooling, None, None, 1, 5.0)

    def test_names(self) -> None:
        """
        Functions that block are imported by name; what has none that leads to
        it is refused.
        """

        @service("local")
        def local(payload: bytes) -> bytes:
            return payload

        found = names_of(collect({"crc": "zlib:crc32", "pid": services.pid, "here": services.here}))
        self.assertEqual(found, {"crc": "zlib:crc32", "pid": "tests.agent.services:pid"})
        for wrong in (local, lambda payload: payload, partial(services.pid)):
            functions = collect({"x": wrong})
            error = self.assertRaises(ConfigurationError, names_of, functions)
            self.assertIn("x", str(error))


class ProcessesTests(HostCase):
    """
    Real processes, with nothing but a host.
    """

    async def begin(
        self, count: int = 1, limits: Limits | None = None, grace: float = 20.0, **more: Any
    ) -> None:
        """
        Start processes.
        """
        self.limits = Limits() if limits is None else limits
        pooling = Pooling(count, grace=grace, **more)
        functions = collect([services])
        self.processes = Processes(reactor, pooling, names_of(functions), self.limits, Random(1))
        self.addCleanup(self.finish)
        await self.processes.start()

    def finish(self) -> Deferred[None]:
        """
        Leave none behind.
        """
        stopped = self.processes.stop()
        self.processes.kill()
        return stopped

    def perform(self, name: str, *frames: bytes, **more: Any) -> tuple[Context, Deferred[Frames]]:
        """
        Have an attempt performed.
        """
        context = self.context(name, *frames, **more)
        return context, Deferred.fromCoroutine(self.processes.perform(context))

    async def result(self, name: str, *frames: bytes) -> bytes:
        """
        The only frame of a result.
        """
        (frame,) = await self.perform(name, *frames)[1]
        return frame

    async def failure(self, kind: type[Exception], name: str, *frames: bytes) -> str:
        """
        Why an attempt fails.
        """
        error = await self.assertFailure(self.perform(name, *frames)[1], kind)
        return str(error)

    def logged(self) -> list[dict[str, Any]]:
        """
        Collect log events.
        """
        events: list[dict[str, Any]] = []
        observer: ILogObserver = events.append  # type: ignore[assignment]
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events

    # -- What goes in and out

    async def test_context(self) -> None:
        """
        A function sees the same as in a thread, in another process.
        """
        await self.begin()
        self.assertNotEqual(await self.result("pid", b""), str(os.getpid()).encode())
        _, done = self.perform("about", b"a", b"b", header=b'{"h":1}', run_limit=7.5)
        (frame,) = await done
        self.assertEqual(
            json.loads(frame),
            {
                "job": "j",
                "part": 2,
                "attempt": 1,
                "index": 0,
                "service": "about",
                "run_limit": 7.5,
                "header": {"h": 1},
                "cancelled": False,
                "frames": ["a", "b"],
            },
        )

    async def test_says(self) -> None:
        """
        Progress, partial results and log entries arrive, and what is printed
        is logged.
        """
        await self.begin()
        events = self.logged()
        self.assertEqual(await self.result("chatty", b"3"), b"done")
        self.assertEqual(self.said[0], 0)
        self.assertEqual(self.partials, [(b"one", b'{"two":2}'), (b"three",)])
        texts = [e["text"] for e in events if e.get("job_id") == "j"]
        self.assertEqual(texts[0], "It happened.")
        while len(texts) < 3:
            await deferLater(reactor, 0.02)
            texts = [e["text"] for e in events if "text" in e]
        self.assertEqual(sorted(texts), ["It happened.", "complained", "printed"])

    async def test_progress_in_bounds(self) -> None:
        """
        Of progress that is said faster than it is heard, the latest is.
        """
        await self.begin()
        await self.result("chatty", b"20000")
        self.assertLess(len(self.said), 5_000)
        self.assertEqual(self.said, sorted(self.said))

    async def test_backpressure(self) -> None:
        """
        A partial result waits until there is room.
        """
        await self.begin()
        self.room = Deferred()
        _, done = self.perform("chatty", b"1")
        while not self.partials:
            await deferLater(reactor, 0.02)
        await deferLater(reactor, 0.1)
        self.assertEqual(len(self.partials), 1)
        self.assertNoResult(done)
        room, self.room = self.room, succeed(None)
        room.callback(None)
        await done
        self.assertEqual(len(self.partials), 2)

    async def test_inputs(self) -> None:
        """
        Inputs arrive in order, and not at the next attempt.
        """
        await self.begin()
        context, done = self.perform("inputs", b"2")
        while not self.partials:
            await deferLater(reactor, 0.02)
        for frame in (b"a", b"b", b"c"):
            self.assertTrue(context.inputs.put((frame,)))
        self.assertEqual(await done, (b"a", b"b"))
        context, done = self.perform("inputs", b"1")
        context.inputs.put((b"d",))
        self.assertEqual(await done, (b"d",))

    async def test_large(self) -> None:
        """
        Results may be as large as a message; more is a failure.
        """
        await self.begin(limits=Limits(message=65 * MIB))
        frame = await self.result("repeat", b"x" * 64 * 1024)
        self.assertEqual((len(frame), frame.count(b"x")), (64 * MIB, 64 * MIB))
        self.assertIn("over the limit", await self.failure(Failed, "repeat", b"x" * 66 * 1024))
        self.assertEqual(await self.result("repeat", b""), b"")

    # -- Ends

    async def test_failures(self) -> None:
        """
        What a function raises is the reason; the process lives on, and the
        traceback is in the log.
        """
        await self.begin()
        (pid,) = self.processes.pids
        events = self.logged()
        self.assertEqual(await self.failure(Failed, "ends", b"raise"), "ValueError: no good")
        self.assertIn("no good", str([e.get("trace") for e in events]))
        self.assertEqual(await self.failure(Refuse, "ends", b"refuse"), "not me")
        error: Any = await self.assertFailure(self.perform("ends", b"later")[1], Failed)
        self.assertEqual((str(error), error.payload), ("not now", (b"partly",)))
        self.assertEqual(error.advice, Advice(True, 5.0))
        self.assertEqual(await self.failure(Failed, "ends", b"exit"), "SystemExit: 3")
        self.assertLess(len(await self.failure(Failed, "ends", b"large")), 3_000)
        self.assertEqual(await self.result("pid", b""), str(pid).encode())

    async def test_deaths(self) -> None:
        """
        A process that dies loses its attempt, with a clear reason; there is
        another for the next.
        """
        await self.begin()
        for way, how in (
            (b"_exit", "ended with status 4"),
            (b"segfault", "was ended by SIGSEGV"),
            (b"kill", "was ended by SIGKILL"),
        ):
            reason = await self.failure(Lost, "ends", way)
            self.assertEqual(reason, f"The process in which it ran {how}.")
        self.assertIn(int(await self.result("pid", b"")), self.processes.pids)

    async def test_one_of_many(self) -> None:
        """
        One killed from outside costs its own part an attempt and nobody
        else's.
        """
        await self.begin(2)
        paths = [Path(self.mktemp()).absolute() for _ in range(2)]
        (_, first), (_, second) = (self.perform("wait", str(p).encode()) for p in paths)
        pids = [await self.appears(path) for path in paths]
        os.kill(pids[0][0], signal.SIGKILL)
        error = await self.assertFailure(first, Lost)
        self.assertIn("SIGKILL", str(error))
        await self.ends(*pids[0])
        self.assertNoResult(second)
        self.assertTrue(lives(pids[1][0]))
        second.cancel()
        await self.assertFailure(second, CancelledError)

    async def test_scribble(self) -> None:
        """
        A process that writes into our pipe is ended.
        """
        await self.begin()
        self.assertIn("SIGKILL", await self.failure(Lost, "scribble", b""))
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    async def test_cancelled(self) -> None:
        """
        Cancelling is an exception in the function, which may tidy up; it is
        over when its process is, and whatever that had started.
        """
        await self.begin()
        path = Path(self.mktemp()).absolute()
        _, done = self.perform("wait", str(path).encode())
        pid, helper = await self.appears(path)
        done.cancel()
        self.assertNoResult(done)
        await self.assertFailure(done, CancelledError)
        self.assertFalse(lives(pid))
        self.assertEqual(path.read_text(), "tidy")
        await self.ends(helper)
        self.assertNotEqual(await self.result("pid", b""), str(pid).encode())

    async def test_killed(self) -> None:
        """
        What does not end by itself is killed when the grace is over.
        """
        await self.begin(grace=0.3)
        path = Path(self.mktemp()).absolute()
        _, done = self.perform("stubborn", str(path).encode())
        pid, helper = await self.appears(path)
        done.cancel()
        await self.assertFailure(done, CancelledError)
        self.assertFalse(lives(pid))
        await self.ends(helper)

    async def test_cancelled_in_line(self) -> None:
        """
        One that waits for a process is cancelled at once, and the next gets
        its turn.
        """
        await self.begin()
        path = Path(self.mktemp()).absolute()
        _, first = self.perform("wait", str(path).encode())
        _, second = self.perform("pid", b"")
        _, third = self.perform("pid", b"")
        await self.appears(path)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        first.cancel()
        await self.assertFailure(first, CancelledError)
        await third

    # -- Replacing

    async def test_tasks(self) -> None:
        """
        A process is replaced after as many parts as it may do.
        """
        await self.begin(tasks=2)
        pids = [await self.result("pid", b"") for _ in range(5)]
        self.assertEqual([pids.count(pid) for pid in dict.fromkeys(pids)], [2, 2, 1])

    async def test_memory(self) -> None:
        """
        What needs too much memory fails, and its process is replaced; so is
        one that keeps too much.
        """
        await self.begin(memory=256 * MIB)
        before = await self.result("pid", b"")
        self.assertIn("MemoryError", await self.failure(Failed, "remember", b"300"))
        after = await self.result("pid", b"")
        self.assertNotEqual(before, after)
        self.assertEqual(await self.result("remember", b"100"), b"104857600")
        self.assertEqual(await self.result("pid", b""), after)
        self.assertEqual(await self.result("keep", b"150"), b"1")
        self.assertEqual(await self.result("keep", b"150"), b"1")

    # -- Starting and stopping

    async def test_cannot_start(self) -> None:
        """
        A service that a process cannot import is a sentence at the start.
        """
        names = {"echo": "tests.agent.broken:echo"}
        processes = Processes(reactor, Pooling(1), names, Limits(), Random(1))
        error: Any = await self.assertFailure(processes.start(), ConfigurationError)
        self.assertIn("tests.agent.broken cannot be imported: RuntimeError: not here", str(error))
        await processes.stop()
        self.assertEqual(processes.pids, [])

    async def test_no_process(self) -> None:
        """
        So is a system that starts none.
        """

        class NoReactor:
            def spawnProcess(self, *args: Any, **options: Any) -> None:
                raise OSError("too many")

        processes = Processes(NoReactor(), Pooling(1), {}, Limits(), Random(1))
        error: Any = await self.assertFailure(processes.start(), ConfigurationError)
        self.assertIn("OSError: too many", str(error))
        await processes.stop()

    async def test_dies_idle(self) -> None:
        """
        One that dies with nothing to do is replaced, and not at once; who
        comes meanwhile waits.
        """
        await self.begin()
        (pid,) = self.processes.pids
        os.kill(pid, signal.SIGKILL)
        while self.processes.pids == [pid]:
            await deferLater(reactor, 0.01)
        self.assertEqual(self.processes.pids, [])
        self.assertNotEqual(await self.result("pid", b""), str(pid).encode())

    async def test_hopeless(self) -> None:
        """
        When several in a row could not start, parts do not wait for one.
        """
        await self.begin()
        (pid,) = self.processes.pids
        self.processes._services["echo"] = "tests.agent.broken:echo"
        os.kill(pid, signal.SIGKILL)
        while self.processes.pids == [pid]:
            await deferLater(reactor, 0.01)
        reason = await self.failure(Lost, "pid", b"")
        self.assertIn("tests.agent.broken cannot be imported", reason)

    async def test_stop(self) -> None:
        """
        A stop ends all processes, and who waits is told.
        """
        await self.begin(2)
        pids = self.processes.pids
        self.assertEqual(len(pids), 2)
        await self.processes.stop()
        self.assertFalse(any(map(lives, pids)))
        self.assertEqual(self.processes.pids, [])
