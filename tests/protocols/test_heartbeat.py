"""
Tests of L{jobroute.protocols.heartbeat}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.interfaces import IMessageProtocol
from jobroute.protocols.heartbeat import HeartbeatProtocol
from tests.protocols.kit import Transport, done


class HeartbeatTests(SynchronousTestCase):
    """
    The broker lives.
    """

    def test_beat(self) -> None:
        """
        A beat says which epoch it is; without a socket there is none, and
        one that cannot be sent does no harm.
        """
        heartbeat = HeartbeatProtocol(2.0, 4711)
        verifyObject(IMessageProtocol, heartbeat)
        heartbeat.epoch = 3
        heartbeat.beat()
        transport = Transport()
        heartbeat.makeConnection(transport)
        heartbeat.beat()
        transport.closed = True
        heartbeat.beat()
        transport.closed = False
        heartbeat.spread = 2.5
        heartbeat.beat()
        heartbeat.connectionLost(done())
        heartbeat.beat()
        heartbeat.messageReceived([b"anything"])
        said = b'{"epoch":3,"interval":2.0,"pid":4711,"spread":%s}'
        self.assertEqual(transport.sent, [[b"BEAT", said % b"0.0"], [b"BEAT", said % b"2.5"]])
