"""
Tests for how L{jobroute.zeromq.network} and L{jobroute.zeromq.ipc} come by an
address and give it back.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

from twisted.trial.unittest import SynchronousTestCase, TestCase

from jobroute.errors import CannotListen
from jobroute.interfaces import SocketKind
from jobroute.zeromq import ipc
from jobroute.zeromq.network import TxNetwork
from tests.zeromq.support import Recorder, connect, directory, listen, reactor

ROUTER, DEALER = SocketKind.ROUTER, SocketKind.DEALER


class FileTests(SynchronousTestCase):
    """
    The file of an ipc socket.
    """

    def setUp(self) -> None:
        """
        Choose a path.
        """
        self.path = os.path.join(directory(self), "s")

    def bind(self, backlog: int = 5) -> socket.socket:
        """
        Bind a plain socket there.
        """
        bound = socket.socket(socket.AF_UNIX)
        self.addCleanup(bound.close)
        bound.bind(self.path)
        if backlog >= 0:
            bound.listen(backlog)
        return bound

    def test_nothing(self) -> None:
        """
        Where nothing is, nothing has to be removed.
        """
        ipc.clear(self.path)
        self.assertIsNone(ipc.mark(self.path))
        ipc.remove(self.path, None)

    def test_stale(self) -> None:
        """
        The file of a socket that is gone is removed.
        """
        self.bind().close()
        ipc.clear(self.path)
        self.assertFalse(os.path.lexists(self.path))

    def test_living(self) -> None:
        """
        That of a living one is not, even if it does not accept.
        """
        bound = self.bind(0)
        for _ in range(3):
            error = self.assertRaises(OSError, ipc.clear, self.path)
            self.assertEqual(error.errno, errno.EADDRINUSE)
            knocking = socket.socket(socket.AF_UNIX)
            self.addCleanup(knocking.close)
            knocking.setblocking(False)
            knocking.connect_ex(self.path)
        self.assertTrue(os.path.exists(self.path))
        bound.close()

    def test_other_file(self) -> None:
        """
        Nor is a file that is no socket.
        """
        with open(self.path, "w") as file:
            file.write("precious")
        error = self.assertRaises(OSError, ipc.clear, self.path)
        self.assertEqual(error.errno, errno.EEXIST)

    def test_somebody_elses(self) -> None:
        """
        Only the very file that is meant is removed.
        """
        self.bind().close()
        ours = ipc.mark(self.path)
        os.rename(self.path, self.path + ".old")
        self.bind()
        ipc.remove(self.path, ours)
        self.assertTrue(os.path.exists(self.path))
        ipc.remove(self.path, ipc.mark(self.path))
        self.assertFalse(os.path.exists(self.path))


class ListeningTests(TestCase):
    """
    Ports on real sockets.
    """

    timeout = 10

    def setUp(self) -> None:
        """
        Make a network.
        """
        self.network = TxNetwork(reactor)
        self.addCleanup(self.network.close)
        self.directory = directory(self)
        self.address = f"ipc://{self.directory}/s"
        self.path = f"{self.directory}/s"

    async def refused(self, address: str) -> str:
        """
        Fail to listen.

        @return: the sentence.
        """
        factory = Recorder()
        with self.assertRaises(CannotListen) as caught:
            await listen(self.network, ROUTER, address, factory)
        self.assertEqual(factory.addresses, [])
        sentence = str(caught.exception)
        self.assertTrue(sentence.startswith(f"Cannot listen on {address}: "), sentence)
        self.assertTrue(sentence.endswith("."), sentence)
        return sentence

    async def test_row23_private(self) -> None:
        """
        The file is for its owner alone, and the umask is as before.
        """
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        await listen(self.network, ROUTER, self.address, Recorder())
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o700)
        self.assertEqual(os.umask(0o022), 0o022)

    async def test_row23_nothing_left(self) -> None:
        """
        The file goes with the port, and with the network.
        """
        port = await listen(self.network, ROUTER, self.address, Recorder())
        await port.stopListening()
        self.assertEqual(os.listdir(self.directory), [])
        await listen(self.network, ROUTER, self.address, Recorder())
        await self.network.close()
        self.assertEqual(os.listdir(self.directory), [])

    async def test_row23_stale(self) -> None:
        """
        What a crash left behind is no obstacle.
        """
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(self.path)
        stale.close()
        server, client = Recorder(), Recorder()
        await listen(self.network, ROUTER, self.address, server)
        await connect(self.network, DEALER, self.address, client)
        client.transport.send([b"x"])
        await server.when(1)

    async def test_row23_successor(self) -> None:
        """
        The file of a successor is not removed.
        """
        port = await listen(self.network, ROUTER, self.address, Recorder())
        os.unlink(self.path)
        other = TxNetwork(reactor)
        self.addCleanup(other.close)
        await listen(other, ROUTER, self.address, Recorder())
        await port.stopListening()
        self.assertTrue(os.path.exists(self.path))

    async def test_row23_living(self) -> None:
        """
        A socket of another process is not taken over, whatever it speaks;
        the sentence says whose it is.
        """
        living = socket.socket(socket.AF_UNIX)
        self.addCleanup(living.close)
        living.bind(self.path)
        living.listen()
        reason = f"process {os.getpid()} listens there already"
        self.assertIn(reason, await self.refused(self.address))

    async def test_row24_sentences(self) -> None:
        """
        Every reason has its sentence.
        """
        with open(f"{self.directory}/file", "w"):
            self.assertIn("no socket", await self.refused(f"ipc://{self.directory}/file"))
        for address, reason in (
            ("tcp://192.0.2.1:*", "this machine has no such address"),
            ("tcp://no.such.interface:*", "this machine has no such address"),
            (f"ipc://{self.directory}/no/s", "there is no such directory"),
            (f"ipc://{self.directory}/file/s", "no directory"),
            (f"ipc://{self.directory}/{'x' * 107}", "a socket's may have 107"),
        ):
            self.assertIn(reason, await self.refused(address))

    async def test_row24_given_back(self) -> None:
        """
        A port that was stopped can be bound again at once, by anybody.
        """
        port = await listen(self.network, ROUTER, "tcp://127.0.0.1:*", Recorder())
        for _ in range(20):
            host = port.getHost()
            client = Recorder()
            await connect(self.network, DEALER, host, client)
            await port.stopListening()
            port = await listen(self.network, ROUTER, host, Recorder())
            client.transport.loseConnection()

    async def test_row25_ipv6(self) -> None:
        """
        IPv6 works; IPv4 is written as such; C{localhost} and a wildcard are
        reached by both.
        """
        for bound, reached, shown in (
            ("tcp://[::1]:*", "[::1]", "[::1]"),
            ("tcp://127.0.0.1:*", "127.0.0.1", "127.0.0.1"),
            ("tcp://localhost:*", "localhost", "127.0.0.1"),
            ("tcp://*:*", "[::1]", "[::]"),
            ("tcp://*:*", "127.0.0.1", "[::]"),
        ):
            server, client = Recorder(), Recorder()
            port = await listen(self.network, ROUTER, bound, server)
            host, _, number = port.getHost().rpartition(":")
            self.assertEqual(host, f"tcp://{shown}")
            await connect(self.network, DEALER, f"tcp://{reached}:{number}", client)
            client.transport.send([b"x"])
            await server.when(1)
