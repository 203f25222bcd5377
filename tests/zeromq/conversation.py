"""
The tests that every network passes.
"""

from __future__ import annotations

from typing import Any

from jobroute.errors import (
    BadEndpoint,
    CannotListen,
    Congested,
    NoSuchPeer,
    NotConnected,
    TransportError,
)
from jobroute.interfaces import (
    IMessageEndpoint,
    IMessagePort,
    IMessageTransport,
    INetwork,
    SocketKind,
)
from tests.zeromq.support import (
    TCP,
    NetworkCase,
    Recorder,
    connect,
    directory,
    listen,
    reactor,
    until,
    verify,
)

ROUTER, DEALER, PUSH, PULL, PUB, SUB = (
    SocketKind.ROUTER,
    SocketKind.DEALER,
    SocketKind.PUSH,
    SocketKind.PULL,
    SocketKind.PUB,
    SocketKind.SUB,
)


class ConversationTests(NetworkCase):
    """
    What jobroute relies on.
    """

    async def test_interfaces(self) -> None:
        """
        Everything provides what it promises.
        """
        server = Recorder()
        endpoint = self.network.endpoint(ROUTER, TCP)
        port = await endpoint.listen(server)
        verify(self, INetwork, self.network)
        verify(self, IMessageEndpoint, endpoint)
        verify(self, IMessagePort, port)
        verify(self, IMessageTransport, server.transport)

    async def test_conversation(self) -> None:
        """
        A ROUTER puts the identity before what comes, and takes it from
        what goes.
        """
        server, client = Recorder(), Recorder()
        await self.pair(server, client)
        client.transport.send([b"", b"question", b"x" * 100_000])
        await server.when(1)
        self.assertEqual(server.messages, [[b"one", b"", b"question", b"x" * 100_000]])
        server.transport.send([b"one", b"", b"answer"])
        await client.when(1)
        self.assertEqual(client.messages, [[b"", b"answer"]])

    async def test_order(self) -> None:
        """
        Messages of one peer come in order, all of them.
        """
        server, client = Recorder(), Recorder()
        await self.pair(server, client)
        sent = [[b"%d" % number] for number in range(900)]
        for frames in sent:
            client.transport.send(frames)
        await server.when(900)
        self.assertEqual([frames[1:] for frames in server.messages], sent)

    async def test_address(self) -> None:
        """
        A wildcard port is resolved, for the factory as well; a connected
        socket's address is the one that was given.
        """
        server, client = Recorder(), Recorder()
        port = await listen(self.network, ROUTER, TCP, server)
        host = port.getHost()
        self.assertRegex(host, r"^tcp://127\.0\.0\.1:[1-9][0-9]+$")
        await connect(self.network, DEALER, host, client)
        self.assertEqual((server.addresses, client.addresses), ([host], [host]))

    async def test_random_identities(self) -> None:
        """
        A DEALER without an identity gets one that is its own.
        """
        server = Recorder()
        port = await listen(self.network, ROUTER, TCP, server)
        for client in (Recorder(), Recorder()):
            await connect(self.network, DEALER, port.getHost(), client)
            client.transport.send([b"hello"])
        await server.when(2)
        one, two = (frames[0] for frames in server.messages)
        self.assertNotEqual(one, two)
        self.assertEqual((len(one), len(two)), (16, 16))
        self.assertNotIn(0, (one[0], two[0]))

    async def test_dealer_turns(self) -> None:
        """
        A bound DEALER gives its peers messages in turn.
        """
        server, one, two = Recorder(), Recorder(), Recorder()
        port = await listen(self.network, DEALER, TCP, server)
        for client in (one, two):
            await connect(self.network, DEALER, port.getHost(), client)
            client.transport.send([b"hello"])
        await server.when(2)
        for number in range(4):
            server.transport.send([b"%d" % number])
        await one.when(2)
        await two.when(2)
        self.assertEqual((len(one.messages), len(two.messages)), (2, 2))

    async def test_push_waits(self) -> None:
        """
        What a PUSH sends before somebody listens arrives later.
        """
        address = f"ipc://{directory(self)}/push"
        sender, receiver = Recorder(), Recorder()
        await connect(self.network, PUSH, address, sender)
        sender.transport.send([b"1"])
        sender.transport.send([b"2"])
        await listen(self.network, PULL, address, receiver)
        await receiver.when(2)
        self.assertEqual(receiver.messages, [[b"1"], [b"2"]])

    async def test_immediate(self) -> None:
        """
        With C{immediate} nothing is sent to nobody.
        """
        address = f"ipc://{directory(self)}/push"
        sender, receiver = Recorder(), Recorder()
        await connect(self.network, PUSH, address, sender, immediate=True)
        self.assertRaises(Congested, sender.transport.send, [b"1"])
        await listen(self.network, PULL, address, receiver)

        def sent() -> bool:
            try:
                sender.transport.send([b"2"])
            except Congested:
                return False
            return True

        await until(sent)
        await receiver.when(1)
        self.assertEqual(receiver.messages, [[b"2"]])

    async def test_subscriptions(self) -> None:
        """
        A SUB hears what begins as it wants; a PUB never fails.
        """
        publisher, subscriber = Recorder(), Recorder()
        port = await listen(self.network, PUB, TCP, publisher)
        publisher.transport.send([b"beat", b"nobody"])
        await connect(
            self.network, SUB, port.getHost(), subscriber, subscriptions=(b"beat", b"end")
        )

        def heard() -> bool:
            publisher.transport.send([b"other"])
            publisher.transport.send([b"beat.1", b"x"])
            return bool(subscriber.messages)

        await until(heard)
        self.assertEqual(subscriber.messages[0], [b"beat.1", b"x"])
        publisher.transport.send([b"end"])
        await until(lambda: [b"end"] in subscriber.messages)
        self.assertNotIn([b"other"], subscriber.messages)

    async def test_slow_subscriber(self) -> None:
        """
        What a slow subscriber has no room for is dropped.
        """
        publisher, subscriber = Recorder(), Recorder()
        port = await listen(self.network, SUB, TCP, subscriber, subscriptions=(b"",), high_water=2)
        await connect(self.network, PUB, port.getHost(), publisher, high_water=2)
        await self.published(publisher, subscriber, [b"first"])
        port.pauseReading()
        for _ in range(200):
            publisher.transport.send([b"many", b"x" * 100_000])
        port.resumeReading()
        await self.published(publisher, subscriber, [b"last"])
        count = sum(frames[0] == b"many" for frames in subscriber.messages)
        self.assertTrue(1 <= count < 200, count)

    async def test_receivers_do_not_send(self) -> None:
        """
        A socket that only receives says so.
        """
        receiver = Recorder()
        await listen(self.network, PULL, TCP, receiver)
        self.assertRaises(TransportError, receiver.transport.send, [b"x"])

    async def test_reconnect(self) -> None:
        """
        A connected socket finds a listener that was away.
        """
        server, client, successor = Recorder(), Recorder(), Recorder()
        port = await self.pair(server, client)
        host = port.getHost()
        await port.stopListening()
        await listen(self.network, ROUTER, host, successor)

        def heard() -> bool:
            client.transport.send([b"again"])
            return bool(successor.messages)

        await until(heard)
        self.assertEqual(successor.messages[0], [b"one", b"again"])

    async def test_paused(self) -> None:
        """
        A paused port has its address and can send, and reads nothing
        until it is told to.
        """
        server, client = Recorder(), Recorder()
        port = await self.pair(server, client)
        port.pauseReading()
        client.transport.send([b"waits"])
        server.transport.send([b"one", b"goes"])
        await client.when(1)
        self.assertEqual(server.messages, [])
        port.resumeReading()
        port.resumeReading()
        await server.when(1)
        self.assertEqual(server.messages, [[b"one", b"waits"]])

    async def test_listen_paused(self) -> None:
        """
        A port can be paused from the beginning.
        """
        server, client = Recorder(), Recorder()
        port = await listen(self.network, ROUTER, TCP, server, True)
        await connect(self.network, DEALER, port.getHost(), client, identity=b"one")
        client.transport.send([b"waits"])

        def reachable() -> bool:
            try:
                server.transport.send([b"one", b"come"])
            except NoSuchPeer:
                return False
            return True

        await until(reachable)
        await client.when(1)
        self.assertEqual(server.messages, [])
        port.resumeReading()
        await server.when(1)

    async def test_pause_while_reading(self) -> None:
        """
        A protocol that pauses its port hears nothing more in this turn.
        """
        ports: list[IMessagePort] = []
        server, client = Recorder(lambda frames: ports[0].pauseReading()), Recorder()
        ports.append(await listen(self.network, ROUTER, TCP, server))
        await connect(self.network, DEALER, ports[0].getHost(), client)
        for _ in range(3):
            client.transport.send([b"x"])
        for count in (1, 2, 3):
            await server.when(count)
            self.assertEqual(len(server.messages), count)
            ports[0].resumeReading()

    async def test_failing_protocol(self) -> None:
        """
        A protocol that raises is logged and goes on hearing.
        """

        def fail(frames: list[bytes]) -> None:
            raise RuntimeError("on purpose")

        server, client = Recorder(fail), Recorder()
        port = await listen(self.network, ROUTER, TCP, server)
        await connect(self.network, DEALER, port.getHost(), client)
        for _ in range(3):
            client.transport.send([b"x"])
        await server.when(3)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 3)

    async def test_failing_factory(self) -> None:
        """
        A factory that raises fails the Deferred, and the address is free.
        """

        class Failing(Recorder):
            def buildProtocol(self, address: str) -> Any:
                raise RuntimeError("on purpose")

        address = f"ipc://{directory(self)}/s"
        with self.assertRaises(RuntimeError):
            await listen(self.network, ROUTER, address, Failing())
        with self.assertRaises(RuntimeError):
            await connect(self.network, DEALER, address, Failing())
        await listen(self.network, ROUTER, address, Recorder())

    async def test_bad_endpoints(self) -> None:
        """
        What is no address is refused with a sentence.
        """
        for address in (
            "",
            "here",
            "tcp://",
            "tcp://x",
            "tcp://x:70000",
            "http://x:1",
            "tcp://::1:80",
            "ipc://",
            "tcp://x:-1",
            "ipc://*",
            "inproc://\0",
        ):
            error = self.assertRaises(BadEndpoint, self.network.endpoint, ROUTER, address)
            self.assertTrue(str(error).endswith("."), address)
        for address in (TCP, "tcp://*:80", "tcp://127.0.0.1:0", "ipc:///" + "x" * 107):
            with self.assertRaises(BadEndpoint):
                await connect(self.network, DEALER, address, Recorder())

    async def test_network_closed(self) -> None:
        """
        A closed network opens nothing, and its address can be had again
        from a new one.
        """
        server = Recorder()
        port = await listen(self.network, ROUTER, TCP, server)
        await self.network.close()
        self.assertEqual(len(server.losses), 1)
        with self.assertRaises(CannotListen):
            await listen(self.network, ROUTER, TCP, Recorder())
        with self.assertRaises(NotConnected):
            await connect(self.network, DEALER, port.getHost(), Recorder())
        again = type(self).make(reactor)
        self.addCleanup(again.close)
        await listen(again, ROUTER, port.getHost(), Recorder())
