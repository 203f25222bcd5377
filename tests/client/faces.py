"""
The faces of the client, each with a broker of its own kind.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
import tempfile
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import zmq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.client import AsyncClient, Client, Outcome, TwistedClient
from jobroute.client.connection import Results
from jobroute.interfaces import (
    IClock,
    IMessageFactory,
    IMessageProtocol,
    IMessageTransport,
    SocketKind,
)
from jobroute.zeromq.memory import MemoryNetwork
from tests.client.broker import FakeBroker


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

    def leave(self, iterator: Any) -> None:
        """
        Close an iterator.
        """
        iterator.close()

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


class AsyncFace(BlockingFace):
    """
    The client for asyncio, and a broker on a real ROUTER in a thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.asynchronous: list[AsyncClient] = []

    def client(self, **more: Any) -> Any:
        """
        A new client.
        """
        client = AsyncClient(self.url, **{"timeout": 10.0, **more})
        self.asynchronous.append(client)
        return client

    def do(self, client: Any, name: str, *args: Any, **more: Any) -> Any:
        """
        Call a method and return what it gives in the end.
        """
        given = getattr(client, name)(*args, **more)
        return self.loop.run_until_complete(given) if inspect.iscoroutine(given) else given

    def take(self, iterator: Any, most: int = 10**9) -> list[Outcome]:
        """
        What comes from an iterator.
        """

        async def take() -> list[Outcome]:
            taken: list[Outcome] = []
            while len(taken) < most:
                try:
                    taken.append(await anext(iterator))
                except StopAsyncIteration:
                    break
            return taken

        return self.loop.run_until_complete(take())

    def leave(self, iterator: Any) -> None:
        """
        Close an iterator.
        """
        self.loop.run_until_complete(iterator.aclose())

    def settle(self, condition: Callable[[], bool]) -> bool:
        """
        Wait until something is so.
        """

        async def settle() -> bool:
            for _ in range(300):
                with self.lock:
                    if condition():
                        return True
                await asyncio.sleep(0.01)
            return False

        return self.loop.run_until_complete(settle())

    def close(self) -> None:
        """
        End everything.
        """
        for client in self.asynchronous:
            self.loop.run_until_complete(client.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        super().close()


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

    def leave(self, iterator: Results) -> None:
        """
        Close an iterator.
        """
        iterator.close()

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
