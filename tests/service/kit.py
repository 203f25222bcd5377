"""
Brokers on real sockets, in this process or another.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import zmq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from jobroute.agent import Agent
from jobroute.client import Client, TwistedClient
from jobroute.config import Settings, load
from jobroute.errors import BrokerAlreadyRunning
from jobroute.lock import DataDirectory
from jobroute.service import BrokerService
from jobroute.zeromq.network import TxNetwork

#: Quick enough that a test need not wait for a lost agent.
INTERVAL = 0.2


def settings(data_dir: str, **given: Any) -> Settings:
    """
    Of a broker that notices quickly.
    """
    file = {"heartbeat_interval": INTERVAL, "liveness": 4, "grace": 3.0, "drain": 2.0}
    return load({"data_dir": data_dir, "storage": "memory", **given}, file)


class ServiceCase(TestCase):
    """
    Ends what a test started.
    """

    timeout = 60

    def folder(self) -> str:
        """
        A data directory whose path is short enough for a socket.
        """
        path = os.path.realpath(self.mktemp())
        short = f"/tmp/jobroute-test-{os.getpid()}-{abs(hash(path)) % 10**8}"
        os.makedirs(short, mode=0o700)
        self.addCleanup(subprocess.run, ["rm", "-rf", short], check=True)
        return short

    async def broker(self, given: Settings, **parts: Any) -> BrokerService:
        """
        A running broker.
        """
        service = BrokerService(given, reactor, **parts)
        self.addCleanup(service.stopService)
        service.privilegedStartService()
        service.startService()
        await service.whenReady()
        return service

    def failing(self, waiting: Deferred[None], kind: type[Exception]) -> Any:
        """
        The error that somebody waits for.
        """
        return self.assertFailure(waiting, kind)

    def client(self, url: str, **given: Any) -> TwistedClient:
        """
        A client, closed at the end.
        """
        network = TxNetwork(reactor)
        self.addCleanup(network.close)
        client = TwistedClient(url, reactor=reactor, network=network, **given)
        self.addCleanup(client.close)
        return client

    async def agent(self, url: str, **given: Any) -> Agent:
        """
        A registered agent, stopped at the end.
        """
        given.setdefault("name", "a1")
        given.setdefault("services", {"echo": "jobroute.agent.builtin:echo"})
        agent = Agent(url, reactor, drain=0.2, settle=0.2, **given)
        self.addCleanup(agent.stopService)
        agent.startService()
        await agent.whenReady()
        return agent


async def until(condition: Any) -> Any:
    """
    Wait until a function, or a coroutine function, returns something true.
    """
    while True:
        found = condition()
        if hasattr(found, "__await__"):
            found = await found
        if found:
            return found
        await deferLater(reactor, 0.01)


class Process:
    """
    A broker, or an agent, in a process of its own.
    """

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )

    @property
    def pid(self) -> int:
        """
        Of the process.
        """
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        """
        Send it a signal.
        """
        self.process.send_signal(number)

    def wait(self) -> tuple[int, str]:
        """
        Its exit status, and what it printed.
        """
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output.decode()

    def kill(self) -> None:
        """
        End it, however it is.
        """
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)


def twistd(data_dir: str, *options: str, command: str = "twisted") -> Process:
    """
    Start C{twist jobroute}.
    """
    return Process(command, "jobroute", "--data-dir", data_dir, *options)


def ask(url: str, *frames: bytes, kind: int = zmq.REQ) -> list[bytes]:
    """
    Ask with a plain socket, and wait for the answer.
    """
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.linger = 0
        socket.connect(url)
        socket.send_multipart(frames)
        return socket.recv_multipart() if socket.poll(10_000) else []


def wait_until_served(url: str) -> dict[str, Any]:
    """
    Wait for a broker in another process, and say what it answers.
    """
    with Client(url, timeout=20) as client:
        return client.ping()


def is_locked(folder: str) -> bool:
    """
    Whether a broker has a data directory.
    """
    directory = DataDirectory(folder)
    try:
        directory.acquire()
    except BrokerAlreadyRunning:
        return True
    directory.release()
    return False


def deferred(coroutine: Any) -> Deferred[Any]:
    """
    A coroutine, started.
    """
    return Deferred.fromCoroutine(coroutine)
