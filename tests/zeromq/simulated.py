"""
The network in memory, on a clock that only the test moves.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jobroute.interfaces import IMessagePort, SocketKind, SocketOptions
from jobroute.zeromq.memory import MemoryNetwork
from tests.zeromq.support import Recorder

ROUTER, DEALER, PUSH, PULL = (
    SocketKind.ROUTER,
    SocketKind.DEALER,
    SocketKind.PUSH,
    SocketKind.PULL,
)
ADDRESS = "tcp://127.0.0.1:7780"


class CountingClock(Clock):
    """
    A clock that counts the delayed calls.
    """

    calls_made = 0

    def callLater(self, *args: Any, **kwargs: Any) -> IDelayedCall:
        """
        Count one.
        """
        self.calls_made += 1
        return super().callLater(*args, **kwargs)


class SimulatedCase(SynchronousTestCase):
    """
    The network on a clock that only the test moves.
    """

    def setUp(self) -> None:
        """
        Make a network that takes its time.
        """
        self.make()

    def make(self, seed: int = 1, **options: Any) -> None:
        """
        Make a network of another kind.
        """
        self.clock = CountingClock()
        self.network = MemoryNetwork(self.clock, Random(seed), **options)

    def advance(self, seconds: float = 0.0) -> None:
        """
        Let time pass, in small steps.
        """
        end = self.clock.seconds() + seconds
        self.clock.advance(0)
        while self.clock.seconds() < end:
            self.clock.advance(min(0.01, end - self.clock.seconds()))

    def listen(
        self, host: str, kind: SocketKind, protocol: Recorder, **options: Any
    ) -> IMessagePort:
        """
        Bind a socket on a host.
        """
        endpoint = self.network.host(host).endpoint(kind, ADDRESS, SocketOptions(**options))
        return self.successResultOf(endpoint.listen(protocol))

    def connect(self, host: str, kind: SocketKind, protocol: Recorder, **options: Any) -> None:
        """
        Connect a socket on a host.
        """
        endpoint = self.network.host(host).endpoint(kind, ADDRESS, SocketOptions(**options))
        self.successResultOf(endpoint.connect(protocol))

    def pair(self, seconds: float = 1.0, **options: Any) -> tuple[Recorder, Recorder]:
        """
        A ROUTER on C{broker} and a DEALER named C{a7} on C{a7}.
        """
        server, client = Recorder(), Recorder()
        self.port = self.listen("broker", ROUTER, server, handover=True, **options)
        self.connect("a7", DEALER, client, identity=b"a7", **options)
        client.transport.send([b"hello"])
        self.advance(seconds)
        self.assertEqual(server.messages, [[b"a7", b"hello"]])
        server.messages.clear()
        return server, client
