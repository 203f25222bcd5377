"""
Tests for L{jobroute.zeromq.memory} and what it is made of.
"""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import CannotListen
from jobroute.interfaces import INetwork
from jobroute.zeromq.memory import MemoryNetwork
from jobroute.zeromq.timeline import Timeline
from tests.zeromq import conversation, rows
from tests.zeromq.simulated import ADDRESS, DEALER, PULL, PUSH, ROUTER, CountingClock, SimulatedCase
from tests.zeromq.support import Recorder, network_tests, verify


def _make(reactor: Any) -> MemoryNetwork:
    return MemoryNetwork(reactor, Random(1))


MemoryConversationTests = network_tests(
    conversation.ConversationTests, "MemoryConversationTests", __name__, _make
)
MemoryRowTests = network_tests(rows.RowTests, "MemoryRowTests", __name__, _make)


class SimulatedTests(SimulatedCase):
    """
    The network on a clock that only the test moves.
    """

    def test_host(self) -> None:
        """
        A host's view is a network.
        """
        verify(self, INetwork, self.network.host("a7"))
        self.assertIs(self.network.host("a7"), self.network.host("a7"))

    def test_delay(self) -> None:
        """
        A message takes its time.
        """
        self.make(delay=(0.5, 1.0))
        server, client = self.pair(3)
        client.transport.send([b"x"])
        self.advance(0.49)
        self.assertEqual(server.messages, [])
        self.advance(0.52)
        self.assertEqual(len(server.messages), 1)

    def test_reordering(self) -> None:
        """
        Messages overtake those of other peers, and never those of their own.
        """
        self.make(delay=(0.0, 1.0))
        server = Recorder()
        self.listen("broker", PULL, server)
        clients = [Recorder() for _ in range(4)]
        for client in clients:
            self.connect("clients", PUSH, client)
        self.advance(2)
        sent = [(number, name) for number in range(50) for name in range(4)]
        for number, name in sent:
            clients[name].transport.send([b"%d" % name, b"%d" % number])
        self.advance(2)
        came = [(int(number), int(name)) for name, number in server.messages]
        self.assertEqual(sorted(came), sent)
        self.assertNotEqual(came, sent)
        for name in range(4):
            self.assertEqual([n for n, who in came if who == name], list(range(50)))

    def test_handover(self) -> None:
        """
        A peer whose identity was taken over is disconnected, and takes it
        back when it connects again.
        """
        server, client = self.pair()
        other = Recorder()
        self.connect("a7", DEALER, other, identity=b"a7")
        self.advance(0)
        server.transport.send([b"a7", b"for the newcomer"])
        self.advance(0)
        self.assertEqual((client.messages, len(other.messages)), ([], 1))
        self.advance(0.1)
        heard = 0
        for _ in range(100):
            server.transport.send([b"a7", b"for whom?"])
            self.advance(0.01)
            heard = len(client.messages)
        self.assertTrue(0 < heard < 100, heard)

    def history(self, seed: int) -> list[tuple[float, list[bytes]]]:
        """
        What happens under a seed, with everything that can.
        """
        self.make(seed, delay=(0.0, 0.1), duplicate=0.1)
        came: list[tuple[float, list[bytes]]] = []
        server = Recorder(lambda frames: came.append((self.clock.seconds(), frames)))
        self.listen("broker", ROUTER, server, handover=True)
        for name in ("a", "b", "c"):
            client = Recorder()
            self.connect(name, DEALER, client, heartbeat=0.2)
            for number in range(20):
                client.transport.send([name.encode(), b"%d" % number])
        self.advance(0.25)
        self.network.partition("a")
        self.network.crash("b")
        self.network.half_open("c")
        self.advance(2)
        self.network.heal("a")
        self.advance(2)
        return came

    def test_seed(self) -> None:
        """
        The same seed makes the same happen, another one something else.
        """
        self.assertEqual(self.history(3), self.history(3))
        self.assertNotEqual(self.history(3), self.history(4))

    def test_duplicate(self) -> None:
        """
        Messages come twice if that is wanted.
        """
        self.make(duplicate=1.0)
        server, client = Recorder(), Recorder()
        self.listen("broker", ROUTER, server)
        self.connect("a7", DEALER, client)
        client.transport.send([b"x"])
        self.advance(1)
        self.assertEqual([frames[1:] for frames in server.messages], [[b"x"], [b"x"]])

    def test_linger(self) -> None:
        """
        A socket that closes has its messages sent, unless it does not linger.
        """
        arrived = set()
        for seed in range(20):
            for linger in (0.1, 0.0):
                self.make(seed, delay=(0.1, 0.2))
                server, client = self.pair(3, linger=linger)
                for _ in range(3):
                    client.transport.send([b"x"])
                client.transport.loseConnection()
                self.advance(1)
                arrived.add((linger, len(server.messages)))
        self.assertEqual(sorted(arrived), [(0.0, 0), (0.0, 1), (0.0, 2), (0.0, 3), (0.1, 3)])

    def test_wrong_kinds(self) -> None:
        """
        Kinds that do not speak with each other are never connected.
        """
        server, client = Recorder(), Recorder()
        self.listen("broker", PULL, server)
        self.connect("a7", DEALER, client)
        client.transport.send([b"x"])
        self.advance(10)
        self.assertEqual(server.messages, [])

    def test_wildcards(self) -> None:
        """
        A wildcard host is reached by any name, and nobody else has its port.
        """
        server, client = Recorder(), Recorder()
        endpoint = self.network.host("broker").endpoint(PULL, "tcp://*:7780")
        self.successResultOf(endpoint.listen(server))
        self.connect("a7", PUSH, client)
        client.transport.send([b"x"])
        self.advance(1)
        self.assertEqual(server.messages, [[b"x"]])
        self.failureResultOf(
            self.network.endpoint(ROUTER, ADDRESS).listen(Recorder()), CannotListen
        )

    def test_failing_end(self) -> None:
        """
        A protocol that cannot bear its end is logged.
        """

        class Failing(Recorder):
            def connectionLost(self, reason: object) -> None:
                raise RuntimeError("on purpose")

        self.connect("a7", DEALER, Failing())
        self.successResultOf(self.network.close())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_closed(self) -> None:
        """
        Of a closed network nothing is left on the clock.
        """
        server, client = self.pair()
        client.transport.send([b"x"])
        self.successResultOf(self.network.close())
        self.successResultOf(self.network.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((len(server.losses), len(client.losses)), (1, 1))

    def test_work(self) -> None:
        """
        Messages that arrive together cost one delayed call; what was
        delivered is counted.
        """
        server, client = self.pair(high_water=10_000)
        before, counted = self.clock.calls_made, self.network.delivered
        for _ in range(10_000):
            client.transport.send([b"x", b"y"])
        self.advance(0)
        self.assertEqual(len(server.messages), 10_000)
        self.assertEqual(self.network.delivered - counted, 10_000)
        self.assertEqual(self.clock.calls_made - before, 1)


class TimelineTests(SynchronousTestCase):
    """
    L{Timeline} does things in order.
    """

    def test_order(self) -> None:
        """
        By time, then by the order of scheduling; with one delayed call.
        """
        clock = Clock()
        timeline = Timeline(clock)
        done: list[str] = []
        for due, name in ((2, "d"), (1, "a"), (1, "b"), (1.5, "c")):
            timeline.schedule(due, lambda name=name: done.append(name))  # type: ignore[misc]
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.advance(1)
        self.assertEqual(done, ["a", "b"])
        clock.advance(1)
        self.assertEqual(done, ["a", "b", "c", "d"])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_turns(self) -> None:
        """
        What is scheduled for now in the course of things has a turn of its own.
        """
        clock = CountingClock()
        timeline = Timeline(clock)
        done: list[int] = []

        def again() -> None:
            done.append(clock.calls_made)
            if len(done) < 3:
                timeline.schedule(0, again)

        timeline.schedule(0, again)
        clock.advance(0)
        self.assertEqual(done, [1, 2, 3])


class ImportTests(SynchronousTestCase):
    """
    The package itself is harmless.
    """

    def test_no_reactor(self) -> None:
        """
        Importing it, or the network in memory, installs no reactor and loads
        no ZeroMQ.
        """
        check = (
            "import jobroute.zeromq, jobroute.zeromq.memory;"
            "print([m for m in ('zmq', 'txzmq', 'twisted.internet.reactor') if m in sys.modules])"
        )
        ended = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {check}"],
            capture_output=True,
            check=True,
        )
        self.assertEqual(ended.stdout.strip(), b"[]")
