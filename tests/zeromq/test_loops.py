"""
Tests for L{jobroute.zeromq.loops}.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

import zmq
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.errors import BadEndpoint, Congested, NotConnected
from jobroute.interfaces import IMessageTransport
from jobroute.zeromq.loops import BUDGET, LoopDealer, connect
from jobroute.zeromq.plain import PlainDealer
from tests.zeromq.support import Recorder, directory


class LoopDealerTests(SynchronousTestCase):
    """
    A DEALER in an event loop, and a ROUTER beside it.
    """

    def setUp(self) -> None:
        """
        Bind the ROUTER, and make the loop.
        """
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.addCleanup(self.context.destroy, 0)
        self.address = f"ipc://{directory(self)}/s"
        self.router = self.context.socket(zmq.ROUTER)
        self.router.bind(self.address)
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.protocol = Recorder()

    def connect(self) -> None:
        """
        Connect the protocol.
        """
        self.successResultOf(connect(self.loop, self.address, self.protocol))
        self.addCleanup(self.protocol.transport.loseConnection)

    def turn(self, condition: Callable[[], bool]) -> None:
        """
        Let the loop run until something is so.
        """

        async def turn() -> None:
            while not condition():
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(asyncio.wait_for(turn(), 10))

    def answers(self, count: int) -> None:
        """
        The router has a greeting, and answers with so many messages.
        """
        identity, _ = self.router.recv_multipart()
        for n in range(count):
            self.router.send_multipart([identity, b"%d" % n])

    def test_interface(self) -> None:
        """
        It is a transport.
        """
        dealer = PlainDealer(self.address)
        self.addCleanup(dealer.close)
        self.assertTrue(verifyObject(IMessageTransport, LoopDealer(self.loop, dealer)))

    def test_everything_is_read(self) -> None:
        """
        More messages than are read in one turn, all of them there before the
        loop looks, all arrive: the descriptor tells of them only once.
        """
        self.connect()
        self.protocol.transport.send([b"hello"])
        count = BUDGET * 3 + 1
        self.answers(count)
        self.turn(lambda: len(self.protocol.messages) == count)
        self.assertEqual(self.protocol.messages[-1], [b"%d" % (count - 1)])

    def test_sending_hides_nothing(self) -> None:
        """
        What came while something was sent is read though nothing else comes.
        """
        dealer = PlainDealer(self.address)
        transport = LoopDealer(self.loop, dealer)
        transport.start(self.protocol)
        self.addCleanup(transport.loseConnection)
        transport.send([b"hello"])
        self.loop.run_until_complete(asyncio.sleep(0))
        self.answers(1)
        readable, _, _ = select.select([dealer.fileno()], [], [], 10)
        self.assertTrue(readable)
        # Sending looks at the socket, and takes the news from its descriptor.
        while readable:
            transport.send([b"more"])
            readable, _, _ = select.select([dealer.fileno()], [], [], 0)
        self.turn(lambda: len(self.protocol.messages) == 1)

    def test_a_bug_stops_nothing(self) -> None:
        """
        When the protocol fails for one message, the next one is read.
        """
        said: list[dict[str, object]] = []
        self.loop.set_exception_handler(lambda loop, context: said.append(context))

        def fail(frames: list[bytes]) -> None:
            if frames == [b"0"]:
                raise ZeroDivisionError

        self.protocol = Recorder(fail)
        self.connect()
        self.protocol.transport.send([b"hello"])
        self.answers(2)
        self.turn(lambda: len(self.protocol.messages) == 2)
        self.assertIsInstance(said[0]["exception"], ZeroDivisionError)

    def test_closed(self) -> None:
        """
        The protocol hears of the end, once, and nothing can be sent.
        """
        self.connect()
        transport = self.protocol.transport
        transport.loseConnection()
        transport.loseConnection()
        (reason,) = self.protocol.losses
        self.assertTrue(reason.check(ConnectionDone))
        self.assertRaises(NotConnected, transport.send, [b"x"])

    def test_closed_by_a_message(self) -> None:
        """
        A protocol may close it while it is told of a message.
        """
        self.protocol = Recorder(lambda frames: self.protocol.transport.loseConnection())
        self.connect()
        self.protocol.transport.send([b"hello"])
        self.answers(2)
        self.turn(lambda: bool(self.protocol.losses))
        self.assertEqual(self.protocol.messages, [[b"0"]])

    def test_full(self) -> None:
        """
        A full queue is said at once.
        """
        self.address += "-where-nobody-is"
        self.connect()

        def send() -> None:
            for _ in range(2000):
                self.protocol.transport.send([b"x"])

        self.assertRaises(Congested, send)

    def test_bad_address(self) -> None:
        """
        What is no address is said at once.
        """
        self.failureResultOf(connect(self.loop, "nowhere", self.protocol), BadEndpoint)
