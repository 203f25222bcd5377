"""
What only one face of the client does, and the sockets below them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.client import Client
from jobroute.client.channel import Channel
from jobroute.client.connection import Connection
from jobroute.client.core import Core
from jobroute.errors import (
    NotConnected,
)
from jobroute.interfaces import (
    IClock,
    IMessageEndpoint,
    IMessageFactory,
    IMessageProtocol,
    SocketKind,
    SocketOptions,
)
from tests.client.faces import (
    AsyncFace,
    BlockingFace,
    BrokerProtocol,
    ReactorClock,
    TwistedFace,
)


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
        connection = Connection(
            endpoint.connect, self.face.reactor.callLater, clock, Core(1.0, Random(1))
        )
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

    def test_heartbeat(self) -> None:
        """
        A connection that dies in silence is noticed: the socket beats.
        """
        asked: list[SocketOptions] = []
        network = self.face.network

        def endpoint(kind: SocketKind, address: str, options: SocketOptions) -> IMessageEndpoint:
            asked.append(options)
            return network.host("").endpoint(kind, address, options)

        self.patch(network, "endpoint", endpoint)
        self.face.client()
        self.assertEqual([options.heartbeat > 0 for options in asked], [True])

    def test_nothing_left(self) -> None:
        """
        A closed client leaves nothing in the reactor.
        """
        self.face.do(self.client, "ping")
        self.face.do(self.client, "close")
        self.face.network.close()
        self.assertEqual(self.face.reactor.getDelayedCalls(), [])


class AsyncClientTests(SynchronousTestCase):
    """
    What only the client for asyncio does.
    """

    def setUp(self) -> None:
        """
        Make the face and its broker.
        """
        self.face = AsyncFace()
        self.addCleanup(self.face.close)
        self.client = self.face.client()

    def ended(self, job: str) -> bool:
        """
        Whether a call was cancelled in the end.
        """
        jobs = self.face.broker.jobs
        return self.face.settle(lambda: job in jobs and jobs[job]["verdict"] == "cancelled")

    def test_cancelled(self) -> None:
        """
        Cancelling the task that waits for a call cancels the job.
        """

        async def begin() -> None:
            task = asyncio.ensure_future(self.client.call("hold"))
            while "1" not in self.face.broker.jobs:
                await asyncio.sleep(0.001)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        self.face.loop.run_until_complete(begin())
        self.assertTrue(self.ended("1"))

    def test_timeout(self) -> None:
        """
        So does asyncio's own timeout.
        """

        async def begin() -> None:
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(self.client.call("hold"), 0.2)

        self.face.loop.run_until_complete(begin())
        self.assertTrue(self.ended("1"))

    def test_gather(self) -> None:
        """
        Many calls are under way at a time, on one socket, and no thread is
        started.
        """
        threads = threading.active_count()

        async def gather() -> list[bytes]:
            calls = (self.client.call("echo", b"%d" % n) for n in range(200))
            outcomes = await asyncio.gather(*calls)
            self.assertEqual(threading.active_count(), threads)
            return [outcome.data for outcome in outcomes]

        self.assertEqual(
            self.face.loop.run_until_complete(gather()), [b"%d" % n for n in range(200)]
        )

    def test_async_for(self) -> None:
        """
        A map is an asynchronous iterator; what is under way is cancelled
        when it is left.
        """

        async def begin() -> None:
            async with contextlib.aclosing(self.client.map("hold", [b"x"])) as outcomes:
                taking = asyncio.ensure_future(anext(outcomes))
                while "1" not in self.face.broker.jobs:
                    await asyncio.sleep(0.001)
                taking.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await taking

        self.face.loop.run_until_complete(begin())
        self.assertTrue(self.ended("1"))

    def test_other_loop(self) -> None:
        """
        A client belongs to one event loop, and says so.
        """
        self.face.do(self.client, "ping")
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        error = self.assertRaises(NotConnected, loop.run_until_complete, self.client.ping())
        self.assertIn("event loop", str(error))

    def test_forked(self) -> None:
        """
        A process that was forked has to make its own.
        """
        self.patch(os, "getpid", lambda: -1)
        error = self.assertRaises(NotConnected, self.face.do, self.client, "ping")
        self.assertIn("forked", str(error))
