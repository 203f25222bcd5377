"""
The faults of txZMQ and the traps of libzmq that no network of ours has.

The numbers of the rows are those of the table that lists them.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.error import ConnectionDone

from jobroute.errors import (
    CannotListen,
    Congested,
    NoSuchPeer,
    NotConnected,
)
from jobroute.interfaces import (
    SocketKind,
)
from tests.zeromq.support import (
    TCP,
    NetworkCase,
    Recorder,
    connect,
    directory,
    listen,
    until,
)

ROUTER, DEALER, PUSH, PULL, PUB, SUB = (
    SocketKind.ROUTER,
    SocketKind.DEALER,
    SocketKind.PUSH,
    SocketKind.PULL,
    SocketKind.PUB,
    SocketKind.SUB,
)


class RowTests(NetworkCase):
    """
    Row by row.
    """

    async def test_row06_half_a_message(self) -> None:
        """
        A wrong type in a later frame sends nothing, and the next message
        is whole.
        """
        server, client = Recorder(), Recorder()
        await self.pair(server, client)
        wrong: Any
        for wrong in ([b"job-1", "oops"], [b"job-1", None, b"x"], [bytearray(b"x")], []):
            self.assertRaises(TypeError, client.transport.send, wrong)
        client.transport.send([b"job-2", b"ok"])
        await server.when(1)
        self.assertEqual(server.messages, [[b"one", b"job-2", b"ok"]])

    async def test_row07_same_request_id(self) -> None:
        """
        Two clients that use the same id get their own answers.
        """
        server = Recorder(
            lambda frames: server.transport.send([frames[0], frames[1], b"for " + frames[2]])
        )
        one, two = Recorder(), Recorder()
        port = await listen(self.network, ROUTER, TCP, server)
        for client, name in ((one, b"one"), (two, b"two")):
            await connect(self.network, DEALER, port.getHost(), client)
            client.transport.send([b"1", name])
        await one.when(1)
        await two.when(1)
        self.assertEqual(one.messages, [[b"1", b"for one"]])
        self.assertEqual(two.messages, [[b"1", b"for two"]])

    async def test_row08_any_frames(self) -> None:
        """
        No frames whatever raise inside; they come as they were sent.
        """
        server, client = Recorder(), Recorder()
        await self.pair(server, client)
        sent = [[b""], [b"", b""], [b"\0"], [b"x"] * 1000, [os.urandom(300)], [b"a", b"", b"b"]]
        for frames in sent:
            client.transport.send(frames)
        await server.when(len(sent))
        self.assertEqual([frames[1:] for frames in server.messages], sent)
        subscriber, publisher = Recorder(), Recorder()
        port = await listen(self.network, PUB, TCP, publisher)
        await connect(self.network, SUB, port.getHost(), subscriber, subscriptions=(b"",))
        await self.published(publisher, subscriber, [b"no separator", b"", b"third"])

    async def test_row10_pending_requests(self) -> None:
        """
        A protocol with something outstanding hears of the end once, and
        nothing is left in the reactor.
        """
        server, client = Recorder(), Recorder()
        await self.pair(server, client)
        client.transport.send([b"never answered"])
        client.transport.loseConnection()
        client.transport.loseConnection()
        self.assertEqual([bool(r.check(ConnectionDone)) for r in client.losses], [True])

    async def test_row11_repeated_ids(self) -> None:
        """
        Unknown and repeated ids in answers mean nothing to the seam.
        """
        server, client = Recorder(), Recorder()
        await self.pair(server, client)
        for _ in range(2):
            server.transport.send([b"one", b"id nobody used", b"x"])
        await client.when(2)
        client.transport.send([b"next"])
        await server.when(1)
        self.assertEqual(server.messages, [[b"one", b"next"]])

    async def test_row12_closed_twice(self) -> None:
        """
        Closing again is nothing, sending afterwards is C{NotConnected}.
        """
        server, client = Recorder(), Recorder()
        port = await self.pair(server, client)
        for _ in range(2):
            await port.stopListening()
            client.transport.loseConnection()
        port.pauseReading()
        port.resumeReading()
        self.assertRaises(NotConnected, client.transport.send, [b"x"])
        self.assertRaises(NotConnected, server.transport.send, [b"one", b"x"])
        self.assertEqual((len(server.losses), len(client.losses)), (1, 1))

    async def test_row12_closed_while_reading(self) -> None:
        """
        A protocol may close its socket when it hears something.
        """
        server, client = Recorder(lambda frames: server.transport.loseConnection()), Recorder()
        port = await listen(self.network, ROUTER, TCP, server)
        await connect(self.network, DEALER, port.getHost(), client)
        for _ in range(3):
            client.transport.send([b"x"])
        await server.when(1)
        self.assertEqual((len(server.messages), len(server.losses)), (1, 1))

    async def test_row13_sequences(self) -> None:
        """
        Any sequence of frames can be sent, and stays as it was.
        """
        server, client = Recorder(), Recorder()
        await self.pair(server, client)
        parts = (b"a", b"b")
        client.transport.send(parts)
        frames = [b"one", *parts]
        server.transport.send(tuple(frames))
        server.transport.send(frames)
        await client.when(2)
        await server.when(1)
        self.assertEqual(client.messages, [[b"a", b"b"]] * 2)
        self.assertEqual(server.messages, [[b"one", b"a", b"b"]])
        self.assertEqual(frames, [b"one", b"a", b"b"])

    async def test_row14_high_water(self) -> None:
        """
        A queue that nobody empties is full at its mark, also by default.
        """
        address = f"ipc://{directory(self)}/nobody"
        sender, unset = Recorder(), Recorder()
        await connect(self.network, DEALER, address, sender, high_water=3)
        for _ in range(3):
            sender.transport.send([b"x"])
        self.assertRaises(Congested, sender.transport.send, [b"x"])
        await connect(self.network, DEALER, address, unset)
        for _ in range(1000):
            unset.transport.send([b"x"])
        self.assertRaises(Congested, unset.transport.send, [b"x"])
        pusher = Recorder()
        await listen(self.network, PUSH, TCP, pusher)
        self.assertRaises(Congested, pusher.transport.send, [b"x"])

    async def test_row15_unroutable(self) -> None:
        """
        A ROUTER says that there is no such peer, and goes on; one whose
        peer does not read says that it is full.
        """
        server, client, slow = Recorder(), Recorder(), Recorder()
        port = await self.pair(server, client, high_water=2)
        self.assertRaises(NoSuchPeer, server.transport.send, [b"nobody", b"x"])
        server.transport.send([b"one", b"x"])
        await client.when(1)
        slow_port = await listen(
            self.network, DEALER, TCP, slow, True, identity=b"slow", high_water=2
        )
        sender = Recorder()
        await connect(self.network, ROUTER, slow_port.getHost(), sender, high_water=2)

        def reached() -> bool:
            try:
                sender.transport.send([b"slow", b"x"])
            except NoSuchPeer:
                return False
            return True

        await until(reached)
        with self.assertRaises(Congested):
            for _ in range(1000):
                sender.transport.send([b"slow", b"x" * 1_000_000])
        self.assertRaises(NoSuchPeer, sender.transport.send, [b"nobody", b"x"])
        await port.stopListening()

    async def test_row15_peer_left(self) -> None:
        """
        A peer that has closed its socket is no peer any more.
        """
        server, client = Recorder(), Recorder()
        await self.pair(server, client)
        client.transport.send([b"farewell"])
        client.transport.loseConnection()

        def left() -> bool:
            try:
                server.transport.send([b"one", b"x"])
            except NoSuchPeer:
                return True
            return False

        await until(left)
        await server.when(1)
        self.assertEqual(server.messages, [[b"one", b"farewell"]])

    async def test_row16_no_handover(self) -> None:
        """
        Without handover the second peer of an identity is not heard.
        """
        server, one, two, other = Recorder(), Recorder(), Recorder(), Recorder()
        port = await self.pair(server, one, b"same")
        await connect(self.network, DEALER, port.getHost(), two, identity=b"same")
        two.transport.send([b"unheard"])
        await connect(self.network, DEALER, port.getHost(), other, identity=b"other")
        other.transport.send([b"heard"])
        await server.when(1)
        one.transport.send([b"heard as well"])
        await server.when(2)
        self.assertEqual(server.messages, [[b"other", b"heard"], [b"same", b"heard as well"]])

    async def test_row16_handover(self) -> None:
        """
        With handover a newcomer takes the identity.
        """
        server, one, two = Recorder(), Recorder(), Recorder()
        port = await self.pair(server, one, b"same", handover=True)
        await connect(self.network, DEALER, port.getHost(), two, identity=b"same")
        two.transport.send([b"here"])
        await server.when(1)
        self.assertEqual(server.messages, [[b"same", b"here"]])
        server.transport.send([b"same", b"for the newcomer"])
        await two.when(1)
        self.assertEqual(one.messages, [])

    async def test_row17_options_come_first(self) -> None:
        """
        Options hold for the first connection already: too large a message
        cuts it.
        """
        server, client, other = Recorder(), Recorder(), Recorder()
        port = await self.pair(server, client, max_message=1000)
        client.transport.send([b"x" * 1000])
        await server.when(1)
        client.transport.send([b"x" * 1001])

        def left() -> bool:
            try:
                server.transport.send([b"one", b"x"])
            except NoSuchPeer:
                return True
            return False

        await until(left)
        await connect(self.network, DEALER, port.getHost(), other, identity=b"other")
        other.transport.send([b"small"])
        await server.when(2)
        self.assertEqual(server.messages, [[b"one", b"x" * 1000], [b"other", b"small"]])

    async def test_row22_network_closed_twice(self) -> None:
        """
        Closing a network again is nothing.
        """
        await self.pair(Recorder(), Recorder())
        await self.network.close()
        await self.network.close()

    async def test_row23_taken_over(self) -> None:
        """
        A living socket's address is not taken over, and the first
        notices nothing.
        """
        address = f"ipc://{directory(self)}/s"
        server, second, client = Recorder(), Recorder(), Recorder()
        port = await listen(self.network, ROUTER, address, server)
        with self.assertRaises(CannotListen) as caught:
            await listen(self.network, ROUTER, address, second)
        self.assertIn(address, str(caught.exception))
        self.assertIn("listens there already", str(caught.exception))
        await connect(self.network, DEALER, address, client)
        client.transport.send([b"x"])
        await server.when(1)
        self.assertEqual((second.addresses, server.losses), ([], []))
        await port.stopListening()
        await listen(self.network, ROUTER, address, second)

    async def test_row24_in_use(self) -> None:
        """
        An address in use, and a path that is too long, have their
        sentences.
        """
        port = await listen(self.network, ROUTER, TCP, Recorder())
        address = "ipc:///" + "x" * 107
        for where, why in ((port.getHost(), "somebody listens"), (address, "108 bytes")):
            with self.assertRaises(CannotListen) as caught:
                await listen(self.network, PULL, where, Recorder())
            self.assertRegex(str(caught.exception), f"^Cannot listen on .*{why}.*[.]$")
            self.assertIn(where, str(caught.exception))
