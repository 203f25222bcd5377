"""
Tests for L{jobroute.zeromq.memory} and what it is made of.
"""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import CannotListen, Congested, NoSuchPeer, NotConnected
from jobroute.interfaces import IMessagePort, INetwork, SocketKind, SocketOptions
from jobroute.zeromq.memory import MemoryNetwork
from jobroute.zeromq.timeline import Timeline
from tests.zeromq.common import network_tests, verify
from tests.zeromq.support import Recorder

ROUTER, DEALER, PUSH, PULL, PUB, SUB = (
    SocketKind.ROUTER,
    SocketKind.DEALER,
    SocketKind.PUSH,
    SocketKind.PULL,
    SocketKind.PUB,
    SocketKind.SUB,
)
ADDRESS = "tcp://127.0.0.1:7780"

MemoryNetworkTests = network_tests(
    "MemoryNetworkTests", __name__, lambda reactor: MemoryNetwork(reactor, Random(1))
)


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


class SimulatedTests(SynchronousTestCase):
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

    def test_partition(self) -> None:
        """
        Between hosts that are cut off messages wait, and come afterwards;
        others notice nothing.
        """
        server, client = self.pair()
        other = Recorder()
        self.connect("a8", DEALER, other)
        self.network.partition("a7")
        client.transport.send([b"late"])
        server.transport.send([b"a7", b"late as well"])
        other.transport.send([b"now"])
        self.advance(100)
        self.assertEqual([frames[1:] for frames in server.messages], [[b"now"]])
        self.network.heal("a7")
        self.advance(1)
        self.assertEqual(server.messages[1:], [[b"a7", b"late"]])
        self.assertEqual(client.messages, [[b"late as well"]])

    def test_partition_fills_queues(self) -> None:
        """
        What waits has its limit.
        """
        server, client = self.pair(high_water=5)
        self.network.partition("a7")
        for transport, frames in (
            (client.transport, [b"x"]),
            (server.transport, [b"a7", b"x"]),
        ):
            for _ in range(10):
                transport.send(frames)
            self.assertRaises(Congested, transport.send, frames)

    def test_partition_heartbeat(self) -> None:
        """
        A ROUTER that heartbeats gives a silent peer up; after the partition
        the peer connects again.
        """
        server, client = self.pair(heartbeat=1.0)
        self.network.partition("a7")
        self.advance(2)
        self.network.partition("a7")
        self.advance(0.9)
        server.transport.send([b"a7", b"lost"])
        self.advance(0.2)
        self.assertRaises(NoSuchPeer, server.transport.send, [b"a7", b"x"])
        self.advance(10)
        self.network.heal("a7")
        client.transport.send([b"again"])
        self.advance(1)
        self.assertEqual(server.messages, [[b"a7", b"again"]])
        server.transport.send([b"a7", b"welcome"])
        self.advance(1)
        self.assertEqual(client.messages, [[b"welcome"]])

    def test_short_partition(self) -> None:
        """
        One that is over before a heartbeat is missed breaks nothing.
        """
        server, client = self.pair(heartbeat=1.0)
        for _ in range(3):
            self.network.partition("a7")
            self.advance(2)
            self.network.heal("a7")
            self.advance(0.1)
        server.transport.send([b"a7", b"x"])
        self.advance(0)
        self.assertEqual(client.messages, [[b"x"]])

    def test_connect_while_partitioned(self) -> None:
        """
        A socket that cannot reach its listener finds it afterwards.
        """
        server, client = Recorder(), Recorder()
        self.network.partition("a7")
        self.listen("broker", ROUTER, server)
        self.connect("a7", DEALER, client)
        client.transport.send([b"x"])
        self.advance(1)
        self.assertEqual(server.messages, [])
        self.network.heal("a7")
        self.advance(1)
        self.assertEqual(len(server.messages), 1)

    def test_half_open(self) -> None:
        """
        A half-open connection takes messages and gives none, for ever.
        """
        server, client = self.pair()
        self.network.half_open("a7")
        self.network.heal("a7")
        client.transport.send([b"x"])
        server.transport.send([b"a7", b"x"])
        self.advance(1000)
        self.assertEqual((server.messages, client.messages), ([], []))

    def test_half_open_crash(self) -> None:
        """
        When the host crashes behind it, nobody hears of it, until its next
        life takes the identity.
        """
        server, _client = self.pair()
        self.network.half_open("a7")
        self.network.crash("a7")
        self.advance(10)
        server.transport.send([b"a7", b"into nothing"])
        successor = Recorder()
        self.connect("a7", DEALER, successor, identity=b"a7")
        self.advance(1)
        server.transport.send([b"a7", b"welcome"])
        self.advance(1)
        self.assertEqual(successor.messages, [[b"welcome"]])

    def test_half_open_heartbeat(self) -> None:
        """
        A peer that heartbeats notices, and connects again.
        """
        server, client = self.pair(heartbeat=1.0)
        self.network.half_open("a7")
        self.advance(5)
        client.transport.send([b"again"])
        self.advance(0)
        self.assertEqual(server.messages, [[b"a7", b"again"]])

    def test_crash(self) -> None:
        """
        A crashed host's protocols hear nothing more, its peers see it go.
        """
        server, client = self.pair()
        self.network.crash("a7")
        self.network.crash("nobody")
        server.transport.send([b"a7", b"too late to know"])
        self.advance(1)
        self.assertEqual((client.losses, client.messages), ([], []))
        self.assertRaises(NotConnected, client.transport.send, [b"x"])
        self.assertRaises(NoSuchPeer, server.transport.send, [b"a7", b"x"])

    def test_crash_of_the_past(self) -> None:
        """
        What still runs of a crashed host cannot open anything; its next life
        can.
        """
        before = self.network.host("broker")
        port = self.listen("broker", ROUTER, Recorder())
        self.network.crash("broker")
        self.failureResultOf(before.endpoint(ROUTER, "inproc://x").listen(Recorder()), CannotListen)
        self.failureResultOf(
            before.endpoint(DEALER, "inproc://x").connect(Recorder()), NotConnected
        )
        self.listen("broker", ROUTER, Recorder())
        self.successResultOf(port.stopListening())
        self.failureResultOf(
            self.network.endpoint(ROUTER, ADDRESS).listen(Recorder()), CannotListen
        )

    def test_crash_loses_by_seed(self) -> None:
        """
        Of what a crashed host sent, the beginning arrives: how much, the seed
        says.
        """
        arrived = set()
        for seed in range(20):
            self.make(seed, delay=(0.1, 0.2))
            server, client = self.pair(3)
            sent = [[b"a7", b"%d" % number] for number in range(5)]
            for frames in sent:
                client.transport.send(frames[1:])
            self.network.crash("a7")
            self.advance(1)
            self.assertEqual(server.messages, sent[: len(server.messages)])
            arrived.add(len(server.messages))
        self.assertEqual(sorted(arrived), [0, 1, 2, 3, 4, 5])

    def test_lost_with_the_listener(self) -> None:
        """
        What was on its way to a listener that crashed is lost, or sent to its
        successor by a socket that queues; one with C{immediate} loses all.
        """
        for immediate, expected in ((False, [0, 1, 2, 3]), (True, [0])):
            arrived = set()
            for seed in range(20):
                self.make(seed, delay=(0.1, 0.2))
                _, client = self.pair(3, immediate=False)
                pusher = Recorder()
                self.connect("a7", DEALER, pusher, immediate=immediate)
                self.advance(3)
                for number in range(3):
                    pusher.transport.send([b"%d" % number])
                self.network.crash("broker")
                successor = Recorder()
                self.listen("broker", ROUTER, successor)
                self.advance(3)
                arrived.add(len(successor.messages))
                client.transport.loseConnection()
            self.assertEqual(sorted(arrived), expected)

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
