"""
Tests for L{jobroute.zeromq.connection}: how one socket reads and sends.
"""

from __future__ import annotations

import contextlib
from itertools import count, pairwise
from typing import Any

import zmq
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from jobroute.errors import Congested
from jobroute.interfaces import SocketKind
from jobroute.zeromq.connection import Connection
from jobroute.zeromq.network import TxNetwork
from tests.zeromq.support import Recorder, connect, directory, listen, reactor, until

ROUTER, DEALER, PUSH, PULL = (
    SocketKind.ROUTER,
    SocketKind.DEALER,
    SocketKind.PUSH,
    SocketKind.PULL,
)


def connection_of(protocol: Recorder) -> Connection:
    """
    The connection under a protocol.
    """
    assert isinstance(protocol.transport, Connection)
    return protocol.transport


def swallow_edge(connection: Connection) -> None:
    """
    Wait for a message to be there, as only a connection itself may do: its
    descriptor does not tell of the message any more.
    """
    poller = zmq.Poller()
    poller.register(connection.socket, zmq.POLLIN)
    while not poller.poll(1000):
        raise AssertionError("Nothing came.")
    while not connection.socket.get(zmq.EVENTS) & zmq.POLLIN:
        poller.poll(1)


async def quiet(protocol: Recorder) -> None:
    """
    Wait until a connection has read what its descriptor told of.
    """
    connection = connection_of(protocol)
    await until(lambda: connection._again is None)
    poller = zmq.Poller()
    poller.register(connection.fileno(), zmq.POLLIN)
    await until(lambda: not poller.poll(20))


class EdgeTests(TestCase):
    """
    libzmq's descriptor tells of a message once; none is ever left unread.
    """

    timeout = 10

    def setUp(self) -> None:
        """
        Make a network, and a raw socket that is outside of it.
        """
        self.network = TxNetwork(reactor)
        self.addCleanup(self.network.close)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.addCleanup(context.destroy, 0)
        self.raw = context.socket(zmq.ROUTER)
        self.raw.set(zmq.RCVHWM, 1)
        self.raw.set(zmq.SNDHWM, 1)
        self.address = f"ipc://{directory(self)}/raw"
        self.raw.bind(self.address)

    async def client(self, high_water: int = 1000) -> Recorder:
        """
        Connect a DEALER to the raw socket, and wait until it has nothing more
        to do.
        """
        client = Recorder()
        await connect(
            self.network, DEALER, self.address, client, identity=b"one", high_water=high_water
        )
        client.transport.send([b"hello"])
        self.raw.poll(5000)
        self.raw.recv_multipart()
        await quiet(client)
        return client

    async def test_row01_edge_after_failed_send(self) -> None:
        """
        A send that fails does not hide a message that came meanwhile.
        """
        client = await self.client(1)
        # Nobody reads, so there is an end to the room.
        while connection_of(client).socket.poll(50, zmq.POLLOUT):
            with contextlib.suppress(Congested):
                client.transport.send([b"x" * 1_000_000])
        self.raw.send_multipart([b"one", b"answer"])
        swallow_edge(connection_of(client))
        self.assertRaises(Congested, client.transport.send, [b"x"])
        self.assertEqual(await client.when(1), [[b"answer"]])

    async def test_edge_after_send(self) -> None:
        """
        Nor does one that succeeds.
        """
        client = await self.client()
        self.raw.send_multipart([b"one", b"answer"])
        swallow_edge(connection_of(client))
        client.transport.send([b"x"])
        self.assertEqual(await client.when(1), [[b"answer"]])

    async def test_edge_after_send_while_reading(self) -> None:
        """
        Nor does one that was made while another socket was read.
        """
        client = await self.client()
        other = Recorder(lambda frames: client.transport.send([b"x"]))
        port = await listen(self.network, PULL, "inproc://other", other, True)
        sender = Recorder()
        await connect(self.network, PUSH, "inproc://other", sender)
        await quiet(sender)
        self.raw.send_multipart([b"one", b"answer"])
        swallow_edge(connection_of(client))
        sender.transport.send([b"go"])
        port.resumeReading()
        self.assertEqual(await client.when(1), [[b"answer"]])

    async def test_row02_edge_after_inproc_connect(self) -> None:
        """
        A message that is there when an inproc endpoint is bound or connected
        is read.
        """
        early, server, late = Recorder(), Recorder(), Recorder()
        await connect(self.network, DEALER, "inproc://x", early)
        early.transport.send([b"before the listener"])
        port = await listen(self.network, DEALER, "inproc://x", server)
        await server.when(1)
        port.pauseReading()
        await connect(self.network, DEALER, "inproc://x", late)
        server.transport.send([b"at once"])
        server.transport.send([b"at once"])
        await late.when(1)
        await early.when(1)

    async def test_row03_edge_after_looking(self) -> None:
        """
        What else a port can be asked takes no message away, and resuming
        finds one whose sign was lost.
        """
        server, client = Recorder(), Recorder()
        port = await listen(self.network, ROUTER, "tcp://127.0.0.1:*", server, True)
        await connect(self.network, DEALER, port.getHost(), client)
        client.transport.send([b"1"])
        swallow_edge(connection_of(server))
        port.resumeReading()
        await server.when(1)
        client.transport.send([b"2"])
        for _ in range(100):
            port.getHost()
            repr(server.transport)
        port.pauseReading()
        port.resumeReading()
        await server.when(2)


class FairnessTests(TestCase):
    """
    A flood leaves the reactor its turns.
    """

    timeout = 20

    async def flooded(self, network: TxNetwork, number: int, **options: Any) -> Recorder:
        """
        Let messages wait for a port, and begin to read them.
        """
        self.addCleanup(network.close)
        server, client = Recorder(), Recorder()
        port = await listen(
            network, PULL, "inproc://flood", server, True, high_water=number, **options
        )
        await connect(network, PUSH, "inproc://flood", client, high_water=number)
        for _ in range(number):
            client.transport.send([b"x"])
        port.resumeReading()
        return server

    async def test_row05_budget_of_number(self) -> None:
        """
        Between two turns of the reactor no more is read than the budget.
        """
        server = await self.flooded(TxNetwork(reactor), 20_000)
        seen: list[int] = []

        def turn() -> None:
            seen.append(len(server.messages))
            if seen[-1] < 20_000:
                reactor.callLater(0, turn)

        turn()
        await server.when(20_000)
        steps = [later - sooner for sooner, later in pairwise(seen)]
        # The reactor may have read once and the connection again.
        self.assertTrue(max(steps) <= 2 * 64, max(steps))

    async def test_row05_budget_of_time(self) -> None:
        """
        Messages that take long are read one in a turn.
        """
        ticks = count()
        network = TxNetwork(reactor, clock=lambda: float(next(ticks)))
        server = await self.flooded(network, 10, budget=(64, 1.5))
        seen: list[int] = []

        def turn() -> None:
            seen.append(len(server.messages))
            if seen[-1] < 10:
                reactor.callLater(0, turn)

        turn()
        await server.when(10)
        self.assertTrue(len(seen) >= 3, seen)


class ReactorTests(SynchronousTestCase):
    """
    A network uses the reactor that it was given, and no other.
    """

    def test_row09_own_reactor(self) -> None:
        """
        Even its delayed calls; so it can be tested without one that runs.
        """
        clock: Any = MemoryReactorClock()
        network = TxNetwork(clock)
        self.addCleanup(network.close)
        server, client = Recorder(), Recorder()
        port = self.successResultOf(network.endpoint(PULL, "inproc://x").listen(server))
        self.successResultOf(network.endpoint(PUSH, "inproc://x").connect(client))
        client.transport.send([b"x"])
        clock.advance(0)
        self.assertEqual(server.messages, [[b"x"]])
        self.assertEqual(len(clock.getReaders()), 2)
        self.successResultOf(port.stopListening())
        self.successResultOf(network.close())
        self.assertEqual((clock.getReaders(), clock.getDelayedCalls()), ([], []))

    def test_row06_peer_lost_in_the_middle(self) -> None:
        """
        If libzmq gives a message up in its middle, it is given the rest of
        it: else it would drop the next one.
        """
        clock: Any = MemoryReactorClock()
        network = TxNetwork(clock)
        self.addCleanup(network.close)
        client = Recorder()
        self.successResultOf(network.endpoint(DEALER, "inproc://x").connect(client))
        sent: list[tuple[bytes, bool]] = []
        failing: list[bytes] = []

        def send(frame: bytes, flags: int) -> None:
            sent.append((frame, bool(flags & zmq.SNDMORE)))
            if frame in failing:
                raise zmq.Again()

        connection_of(client)._send = send
        whole = [(b"1", True), (b"2", True), (b"3", False)]
        for frame, expected in ((b"1", whole[:1]), (b"2", whole), (b"3", whole)):
            sent.clear()
            failing[:] = [frame]
            self.assertRaises(Congested, client.transport.send, [b"1", b"2", b"3"])
            self.assertEqual(sent, expected)
        failing[:] = [b"1"]
        for frames in ([b"1"], [b"1", b"2"]):
            sent.clear()
            self.assertRaises(Congested, client.transport.send, frames)
            self.assertEqual(len(sent), 1)

    def test_descriptor_lost(self) -> None:
        """
        If the reactor gives the descriptor up, the protocol hears of it.
        """
        clock: Any = MemoryReactorClock()
        network = TxNetwork(clock)
        self.addCleanup(network.close)
        client = Recorder()
        self.successResultOf(network.endpoint(DEALER, "inproc://x").connect(client))
        reason: Any = object()
        connection_of(client).connectionLost(reason)
        self.assertEqual(client.losses, [reason])
        self.assertEqual(connection_of(client).logPrefix(), "DEALER inproc://x")
