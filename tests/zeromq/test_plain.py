"""
Tests for L{jobroute.zeromq.plain}.
"""

from __future__ import annotations

import subprocess
import sys
from threading import Thread
from typing import Any

import zmq
from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import BadEndpoint, Congested, NotConnected
from jobroute.zeromq.plain import PlainDealer
from tests.zeromq.support import directory


class PlainDealerTests(SynchronousTestCase):
    """
    A DEALER that waits.
    """

    def setUp(self) -> None:
        """
        Bind a ROUTER.
        """
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.addCleanup(self.context.destroy, 0)
        self.address = f"ipc://{directory(self)}/s"
        self.router = self.context.socket(zmq.ROUTER)
        self.router.bind(self.address)

    def dealer(self, *args: Any, **options: Any) -> PlainDealer:
        """
        Make one.
        """
        dealer = PlainDealer(*(args or (self.address,)), **options)
        self.addCleanup(dealer.close)
        return dealer

    def test_conversation(self) -> None:
        """
        It sends, receives, and says when nothing came.
        """
        dealer = self.dealer(identity=b"one")
        self.assertIsNone(dealer.receive(0))
        dealer.send((b"", b"x"))
        self.assertEqual(self.router.recv_multipart(), [b"one", b"", b"x"])
        self.router.send_multipart([b"one", b"", b"y"])
        self.assertEqual(dealer.receive(5), [b"", b"y"])
        self.assertIsNone(dealer.receive(0.001))
        self.assertIsNone(dealer.receive(-1))

    def test_identity(self) -> None:
        """
        Each has its own.
        """
        one, two = self.dealer(), self.dealer()
        self.assertEqual((len(one.identity), len(two.identity)), (16, 16))
        self.assertNotEqual(one.identity, two.identity)

    def test_not_bytes(self) -> None:
        """
        What is no message is not sent.
        """
        dealer = self.dealer()
        wrong: Any
        for wrong in ([b"x", "y"], [], [None]):
            self.assertRaises(TypeError, dealer.send, wrong)
        dealer.send([b"whole"])
        self.assertEqual(self.router.recv_multipart(), [dealer.identity, b"whole"])

    def test_congested(self) -> None:
        """
        A full queue is said, after the time to wait.
        """
        dealer = self.dealer(self.address + "2", high_water=2, heartbeat=1.0)
        dealer.send([b"1"])
        dealer.send([b"2"])
        self.assertRaises(Congested, dealer.send, [b"3"])
        self.assertRaises(Congested, dealer.send, [b"3"], 0.001)
        immediate = self.dealer(self.address + "2", immediate=True)
        self.assertRaises(Congested, immediate.send, [b"1"])

    def test_wait_for_room(self) -> None:
        """
        One that waits for its peer sends when it is there.
        """
        dealer = self.dealer(immediate=True)
        dealer.send([b"x"], 5)
        self.assertEqual(self.router.recv_multipart()[1:], [b"x"])

    def test_closed(self) -> None:
        """
        After the end it says so; closing again is nothing.
        """
        with self.dealer() as dealer:
            dealer.send([b"x"])
        dealer.close()
        self.assertRaises(NotConnected, dealer.send, [b"x"])
        self.assertRaises(NotConnected, dealer.receive, 0)
        self.assertEqual(self.router.recv_multipart()[1:], [b"x"])

    def test_shared_context(self) -> None:
        """
        A context that is somebody else's stays.
        """
        self.dealer(context=self.context).close()
        self.assertFalse(self.context.closed)

    def test_bad_endpoint(self) -> None:
        """
        What is no address is refused.
        """
        for address in ("here", "tcp://*:1", "tcp://127.0.0.1:*"):
            self.assertRaises(BadEndpoint, PlainDealer, address)

    def test_any_thread(self) -> None:
        """
        Threads may use it one after the other.
        """
        dealer = self.dealer()
        for _ in range(3):
            thread = Thread(target=dealer.send, args=([b"x"],))
            thread.start()
            thread.join()
            self.assertEqual(self.router.recv_multipart()[1:], [b"x"])

    def test_no_reactor(self) -> None:
        """
        It needs nothing of Twisted.
        """
        check = "import sys, jobroute.zeromq.plain as p; print('twisted.internet' in sys.modules)"
        ended = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {check}"],
            capture_output=True,
            check=True,
        )
        self.assertEqual(ended.stdout.strip(), b"False")
