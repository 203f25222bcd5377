"""
Tests of C{jobroute agent}: what it is told, and the process with a real
broker and real sockets.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase, TestCase

import jobroute
from jobroute.agent import builtin
from jobroute.agent.command import REFUSED, UNFINISHED, USAGE, parse_labels, parse_services, run
from jobroute.config import load
from jobroute.errors import ConfigurationError
from jobroute.interfaces import SocketKind, SocketOptions
from jobroute.service import BrokerService
from tests.agent.world import Client

#: Trial's own.
reactor: Any = namedAny("twisted.internet.reactor")


class OptionsTests(SynchronousTestCase):
    """
    What the command is told.
    """

    def test_services(self) -> None:
        """
        A service has a name of its own, or its function's.
        """
        found = parse_services(
            ["e=jobroute.agent.builtin:echo", "jobroute.agent.builtin:sleep", "builtins:len"]
        )
        self.assertEqual(found, {"e": builtin.echo, "sleep": builtin.sleep, "len": len})

    def test_wrong_services(self) -> None:
        """
        What is no service is refused.
        """
        for services in ([], ["e=nowhere:f"], ["e="], ["len"], ["e=zlib:crc32", "e=zlib:adler32"]):
            self.assertRaises(ConfigurationError, parse_services, services)

    def test_labels(self) -> None:
        """
        A label has a key and a value.
        """
        self.assertEqual(parse_labels(["rack=7", "x=a=b"]), {"rack": "7", "x": "a=b"})
        for labels in (["rack"], ["a=1", "a=2"]):
            self.assertRaises(ConfigurationError, parse_labels, labels)

    def test_usage(self) -> None:
        """
        What is wrong is one sentence and an exit status, before anything is
        started.
        """
        for options in ({}, {"services": ["builtins:len"], "log_level": "loud"}):
            stderr = io.StringIO()
            self.assertEqual(run(stderr=stderr, **options), USAGE)  # type: ignore[arg-type]
            self.assertEqual(stderr.getvalue().count("\n"), 1)


class AgentProcess(ProcessProtocol):
    """
    An agent in a process.
    """

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()
        self.errors = b""

    def errReceived(self, data: bytes) -> None:
        """
        Keep what it logs.
        """
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        """
        Its exit status, or the negative signal.
        """
        value: Any = reason.value
        signal = value.signal if isinstance(value, ProcessTerminated) else None
        self.ended.callback(value.exitCode if signal is None else -signal)


class ProcessTests(TestCase):
    """
    A broker in this process, and agents in others.
    """

    timeout = 60

    async def begin(self) -> None:
        """
        Start a broker and a client.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        settings = load({"data_dir": os.path.join(self.folder, "d"), "storage": "memory"})
        self.url = settings.endpoints["frontend"]
        broker = BrokerService(settings, reactor)
        broker.startService()
        self.addCleanup(broker.stopService)
        await broker.whenReady()
        network = namedAny("jobroute.zeromq.network.TxNetwork")(reactor, 1)
        self.addCleanup(network.close)
        self.client = Client()
        await network.endpoint(SocketKind.DEALER, self.url, SocketOptions()).connect(self.client)

    def spawn(self, **options: Any) -> AgentProcess:
        """
        Start an agent.
        """
        options = {"broker": self.url, "name": "a1", "slots": 2, **options}
        code = f"import sys; from jobroute.agent.command import run; sys.exit(run(**{options!r}))"
        process = AgentProcess()
        path = str(Path(jobroute.__file__).parent.parent)
        environ = {**os.environ, "PYTHONPATH": path}
        process.transport = reactor.spawnProcess(
            process, sys.executable, [sys.executable, "-c", code], environ, self.folder
        )
        self.addCleanup(self.kill, process)
        return process

    def kill(self, process: AgentProcess) -> None:
        """
        Leave none behind.
        """
        if not process.ended.called:
            process.transport.signalProcess("KILL")  # type: ignore[union-attr]

    async def until(self, condition: Callable[[], object]) -> None:
        """
        Wait until something is so.
        """
        while not condition():
            await deferLater(reactor, 0.02)

    async def ask(self, command: str, *payload: bytes, **properties: Any) -> Any:
        """
        Ask, and wait for the answer.
        """
        number = self.client.ask(command, *payload, **properties)
        await self.until(lambda: self.client.final(number))
        return self.client.final(number)

    async def test_life(self) -> None:
        """
        An agent with services in reactor and threads, also of a module in
        its folder, serves until a signal comes; then it finishes what it has
        and ends well.
        """
        await self.begin()
        module = os.path.join(self.folder, "mine.py")
        with open(module, "w", encoding="utf-8") as file:
            file.write(
                "def shout(payload, context):\n"
                "    context.partial(b'p')\n"
                "    context.progress(1)\n"
                "    return payload.upper()\n"
            )
        agent = self.spawn(
            services=["shout=mine:shout", "jobroute.agent.builtin:sleep"], labels=["rack=7"]
        )
        answer, frames = await self.ask("CALL", b"hello", service="shout")
        self.assertEqual((answer["result"]["verdicts"], frames), ({"succeeded": 1}, [b"HELLO"]))
        answer, _ = await self.ask("LIST")
        self.assertEqual(answer["result"]["a1"]["labels"], {"rack": "7"})
        number = self.client.ask("CALL", b"0.5", service="sleep")
        await deferLater(reactor, 0.1)
        agent.transport.signalProcess("TERM")  # type: ignore[union-attr]
        self.assertEqual(await agent.ended, 0)
        found = self.client.final(number)
        assert found is not None
        self.assertEqual(found[1], [b"0.5"])
        self.assertNotIn(b"Traceback", agent.errors)
        answer, _ = await self.ask("LIST")
        self.assertEqual(answer["result"], {})

    async def test_second_signal(self) -> None:
        """
        The second signal ends it at once, also when a thread never returns.
        """
        await self.begin()
        agent = self.spawn(services=["sleep=time:sleep", "block=threading:Event.wait", "f=mine:f"])
        self.assertEqual(await agent.ended, USAGE)
        with open(os.path.join(self.folder, "mine.py"), "w", encoding="utf-8") as file:
            file.write("import time\ndef f(payload): time.sleep(600)\n")
        agent = self.spawn(services=["mine:f"])
        answer, _ = await self.ask("SUBMIT", service="f", job="j")
        self.assertNotIn("error", answer)
        while json.dumps(await self.ask("LIST")).count('"outstanding": 1') == 0:
            await deferLater(reactor, 0.05)
        agent.transport.signalProcess("INT")  # type: ignore[union-attr]
        await deferLater(reactor, 0.3)
        self.assertFalse(agent.ended.called)
        agent.transport.signalProcess("TERM")  # type: ignore[union-attr]
        self.assertEqual(await agent.ended, UNFINISHED)

    async def test_refused(self) -> None:
        """
        An agent that the broker does not take says so in a sentence, and
        ends with a status of its own.
        """
        await self.begin()
        first = self.spawn(services=["builtins:len"])
        await self.ask("CALL", b"x", service="len")
        second = self.spawn(services=["builtins:len"], patience=0.5)
        self.assertEqual(await second.ended, REFUSED)
        self.assertIn(b"does not take agent a1", second.errors)
        first.transport.signalProcess("TERM")  # type: ignore[union-attr]
        self.assertEqual(await first.ended, 0)
