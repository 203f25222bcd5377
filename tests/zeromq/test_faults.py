"""
Tests for L{jobroute.zeromq.memory}: what can go wrong in it on demand.
"""

from __future__ import annotations

from jobroute.errors import CannotListen, Congested, NoSuchPeer, NotConnected
from tests.zeromq.simulated import ADDRESS, DEALER, ROUTER, SimulatedCase
from tests.zeromq.support import Recorder


class FaultTests(SimulatedCase):
    """
    Partitions, half-open connections, and crashes.
    """

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
