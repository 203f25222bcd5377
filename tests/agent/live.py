"""
A broker with real sockets, and agents in processes.
"""

from __future__ import annotations

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
from twisted.trial.unittest import TestCase

import jobroute
from jobroute.config import load
from jobroute.interfaces import SocketKind, SocketOptions
from jobroute.service import BrokerService
from tests.agent.world import Client

#: Trial's own.
reactor: Any = namedAny("twisted.internet.reactor")


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


class LiveCase(TestCase):
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

    async def kill(self, process: AgentProcess) -> None:
        """
        Leave none behind.
        """
        if not process.ended.called:
            process.transport.signalProcess("KILL")  # type: ignore[union-attr]
        await self.until(lambda: process.ended.called)

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
        return await self.final(self.client.ask(command, *payload, **properties))

    async def final(self, number: int) -> Any:
        """
        Wait for the final answer to a request.
        """
        await self.until(lambda: self.client.final(number))
        return self.client.final(number)
