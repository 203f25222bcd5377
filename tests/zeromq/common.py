"""
The tests that every network passes.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import Interface
from zope.interface.verify import verifyObject

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
from tests.zeromq.support import Recorder, connect, directory, listen, reactor, until

ROUTER, DEALER, PUSH, PULL, PUB, SUB = (
    SocketKind.ROUTER,
    SocketKind.DEALER,
    SocketKind.PUSH,
    SocketKind.PULL,
    SocketKind.PUB,
    SocketKind.SUB,
)
TCP = "tcp://127.0.0.1:*"


def verify(case: SynchronousTestCase, interface: type[Interface], provider: object) -> None:
    """
    It provides the interface, with the arguments named and preset alike.
    """
    verifyObject(interface, provider)
    for name, method in interface.namesAndDescriptions():
        declared = method.getSignatureInfo()
        found = inspect.signature(getattr(provider, name)).parameters
        case.assertEqual(list(declared["positional"]), list(found), name)
        preset = {k: p.default for k, p in found.items() if p.default is not p.empty}
        case.assertEqual(declared["optional"], preset, name)


def network_tests(name: str, module: str, make: Callable[[Any], INetwork]) -> type[TestCase]:
    """
    Make the tests of one implementation.

    @param name: the name of the class, in C{module}.
    @param make: makes a network from a reactor.
    """

    class NetworkTests(TestCase):
        """
        What jobroute relies on.
        """

        timeout = 10

        def setUp(self) -> None:
            """
            Make a network.
            """
            self.network = make(reactor)
            self.addCleanup(self.network.close)

        async def pair(
            self, server: Recorder, client: Recorder, identity: bytes = b"one", **options: Any
        ) -> IMessagePort:
            """
            Connect a DEALER and a ROUTER that know each other.
            """
            port = await listen(self.network, ROUTER, TCP, server, **options)
            await connect(self.network, DEALER, port.getHost(), client, identity=identity)
            client.transport.send([b"hello"])
            await server.when(1)
            server.messages.clear()
            return port

        async def published(
            self, publisher: Recorder, subscriber: Recorder, frames: list[bytes]
        ) -> None:
            """
            Publish something until it is heard.
            """

            def heard() -> bool:
                publisher.transport.send(frames)
                return frames in subscriber.messages

            await until(heard)

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
            port = await listen(
                self.network, SUB, TCP, subscriber, subscriptions=(b"",), high_water=2
            )
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
            again = make(reactor)
            self.addCleanup(again.close)
            await listen(again, ROUTER, port.getHost(), Recorder())

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
            self.assertIn("somebody listens there already", str(caught.exception))
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

    NetworkTests.__name__ = NetworkTests.__qualname__ = name
    NetworkTests.__module__ = module
    return NetworkTests
