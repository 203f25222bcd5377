"""
Tests for L{jobroute.zeromq.network}: what a process has of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any, ClassVar

import zmq
from twisted.python.failure import Failure
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.trial.util import DirtyReactorAggregateError

from jobroute.interfaces import SocketKind
from jobroute.zeromq.network import TxNetwork
from tests.zeromq.support import Recorder, connect, directory, listen, reactor

ROUTER, DEALER = SocketKind.ROUTER, SocketKind.DEALER

#: Makes the network before it forks, and opens it after, as twistd does.
_DAEMON = """
import os, resource, sys
from twisted.internet import defer, reactor
from jobroute.interfaces import SocketKind
from jobroute.zeromq.network import TxNetwork
from tests.zeromq.support import Recorder, connect, listen

def threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1

network = TxNetwork(reactor)
assert threads() == 1, "libzmq runs already"
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert used.ru_utime + used.ru_stime < 5, "the child burns a core"
    sys.exit(os.waitstatus_to_exitcode(status))

async def main():
    server, client = Recorder(), Recorder()
    port = await listen(network, SocketKind.ROUTER, "tcp://127.0.0.1:*", server)
    await connect(network, SocketKind.DEALER, port.getHost(), client)
    client.transport.send([b"x"])
    await server.when(1)
    server.transport.send([server.messages[0][0], b"y"])
    await client.when(1)
    await network.close()
    assert threads() == 1, "libzmq still runs"

done = []
def start():
    d = defer.ensureDeferred(main())
    d.addCallback(done.append)
    d.addBoth(lambda result: (result and result.printTraceback(), reactor.stop()))
reactor.callWhenRunning(start)
reactor.callLater(20, reactor.stop)
reactor.run()
os._exit(0 if done else 1)
"""


class ForkTests(SynchronousTestCase):
    """
    libzmq's threads do not survive a fork.
    """

    def test_row04_made_before_the_fork(self) -> None:
        """
        A network that was made before it works after it, and ends.
        """
        ended = subprocess.run(
            [sys.executable, "-c", _DAEMON],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((ended.returncode, ended.stderr.decode()), (0, ""))

    def test_row04_no_context(self) -> None:
        """
        Neither a network nor its endpoints make a context.
        """
        network = TxNetwork(reactor)
        network.endpoint(ROUTER, "tcp://127.0.0.1:*")
        self.assertIsNone(network._factory)
        self.successResultOf(network.close())


class ClosingTests(TestCase):
    """
    A network comes to its end.
    """

    timeout = 10

    async def test_row20_linger(self) -> None:
        """
        Unsent messages hold the end up for the linger time once, not once
        for each socket.
        """
        network = TxNetwork(reactor)
        self.addCleanup(network.close)
        address = f"ipc://{directory(self)}/nobody"
        for _ in range(10):
            client = Recorder()
            await connect(network, DEALER, address, client)
            client.transport.send([b"x"])
        began = time.perf_counter()
        await network.close()
        self.assertTrue(time.perf_counter() - began < 0.6)

    async def test_row21_stray_socket(self) -> None:
        """
        A socket that nobody closed does not hold it up for ever.
        """
        network = TxNetwork(reactor)
        self.addCleanup(network.close)
        await listen(network, ROUTER, "tcp://127.0.0.1:*", Recorder())
        assert network._factory is not None
        stray = network._factory.context.socket(zmq.DEALER)
        stray.connect("tcp://127.0.0.1:1")
        stray.send(b"x")
        await network.close()
        self.assertTrue(stray.closed)

    async def test_row22_next_network(self) -> None:
        """
        After the end of one there can be another.
        """
        for _ in range(3):
            network = TxNetwork(reactor, io_threads=2)
            server, client = Recorder(), Recorder()
            port = await listen(network, ROUTER, "tcp://127.0.0.1:*", server)
            await connect(network, DEALER, port.getHost(), client)
            client.transport.send([b"x"])
            await server.when(1)
            await network.close()
            self.assertEqual((len(server.losses), len(client.losses)), (1, 1))


class LeftOpenTests(SynchronousTestCase):
    """
    A test that leaves a socket open is told.
    """

    def test_row26_dirty_reactor(self) -> None:
        """
        Trial names the socket.
        """

        class Leaving(TestCase):
            network: ClassVar[Any] = TxNetwork(reactor)

            async def test_leaving(self) -> None:
                """
                Leave a port open.
                """
                await listen(self.network, ROUTER, "inproc://left-open", Recorder())

        result = TestResult()
        Leaving("test_leaving").run(result)
        self.successResultOf(Leaving.network.close())
        self.assertEqual(len(result.errors), 1)
        failure = result.errors[0][1]
        assert isinstance(failure, Failure)
        failure.trap(DirtyReactorAggregateError)
        self.assertIn("<ROUTER inproc://left-open>", str(failure.value))
