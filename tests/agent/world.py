"""
A broker, agents and a client over the in-memory network, on one clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.agent import Agent
from jobroute.config import load
from jobroute.interfaces import (
    IMessageFactory,
    IMessageProtocol,
    IMessageTransport,
    SocketKind,
    SocketOptions,
)
from jobroute.service import BrokerService
from jobroute.storage.memory import MemoryStorage
from jobroute.zeromq.memory import MemoryNetwork
from tests.agent.support import ReactorClock

ENDPOINTS = {
    name: f"tcp://127.0.0.1:{7780 + i}"
    for i, name in enumerate(("frontend", "backend", "register", "heartbeat"))
}

FRONTEND = ENDPOINTS["frontend"]


class TestReactor(Clock):
    """
    A clock that has threads' calls made at once.
    """

    __test__ = False

    def callFromThread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """
        Call it.
        """
        function(*args, **kwargs)


class InlinePool:
    """
    Threads that are none: what they are to do is done when the test says.
    """

    def __init__(self, most: int, name: str) -> None:
        self.work: list[Callable[[], None]] = []
        self.stopped = False

    def run(self, work: Callable[[], None]) -> None:
        """
        Keep it for L{perform}.
        """
        self.work.append(work)

    def perform(self) -> None:
        """
        Do what was given.
        """
        while self.work:
            self.work.pop(0)()

    def stop(self) -> None:
        """
        Remember it.
        """
        self.stopped = True


@implementer(IMessageProtocol, IMessageFactory)
class Client:
    """
    A DEALER at the frontend that keeps all answers by the request's id.
    """

    transport: IMessageTransport

    def __init__(self) -> None:
        self.answers: dict[int, list[tuple[dict[str, Any], list[bytes]]]] = {}

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        Give itself.
        """
        return self

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        Keep the transport.
        """
        self.transport = transport

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        Keep an answer.
        """
        answer = json.loads(frames[1])
        self.answers.setdefault(answer["id"], []).append((answer, frames[2:]))

    def connectionLost(self, reason: Failure) -> None:
        """
        The test is over.
        """

    def ask(self, command: str, *payload: bytes, **properties: Any) -> int:
        """
        Send a request.

        @return: its id.
        """
        number = len(self.answers) + 1
        self.answers[number] = []
        body = {"id": number, "command": command, **properties}
        self.transport.send([b"", json.dumps(body).encode("utf-8"), *payload])
        return number

    def final(self, number: int) -> tuple[dict[str, Any], list[bytes]] | None:
        """
        The final answer to a request, if it is there.
        """
        found = [a for a in self.answers[number] if a[0].get("final", True)]
        assert len(found) <= 1, found
        return found[0] if found else None


class World:
    """
    All of them.

    @ivar mktemp: names a folder that does not exist yet.
    """

    def __init__(self, mktemp: Callable[[], str], seed: int = 1, **settings: Any) -> None:
        self.mktemp = mktemp
        self.settings = settings
        self.reactor = TestReactor()
        self.clock = ReactorClock(self.reactor)
        self.network = MemoryNetwork(self.reactor, Random(seed), delay=(0.0, 0.01))
        self.storage = MemoryStorage(lambda call: self.reactor.callLater(0, call))
        self.broker: BrokerService | None = None
        self.client = Client()
        self.agents: list[Agent] = []
        self.pools: list[InlinePool] = []
        endpoint = self.network.host("client").endpoint(
            SocketKind.DEALER, FRONTEND, SocketOptions(identity=b"client")
        )
        endpoint.connect(self.client)

    def start_broker(self) -> None:
        """
        Start a broker, on what the one before has stored.
        """
        settings = load({"data_dir": self.mktemp(), **ENDPOINTS, **self.settings}, environ={})
        self.broker = BrokerService(
            settings,
            self.reactor,
            network=self.network.host("broker"),
            clock=self.clock,
            storage=self.storage,
        )
        self.broker.privilegedStartService()
        self.broker.startService()
        self.pump(0.1)

    def stop_broker(self) -> None:
        """
        Stop it as a signal does.
        """
        assert self.broker is not None
        stopped = self.broker.stopService()
        self.pump(1)
        assert stopped.called
        self.broker = None

    def crash_broker(self) -> None:
        """
        Let it vanish, with nobody told.
        """
        assert self.broker is not None
        self.network.crash("broker")
        stopped = self.broker.stopService()
        self.broker.stopNow()
        self.pump(0.05)
        assert stopped.called
        self.broker = None

    def pool(self, most: int, name: str) -> InlinePool:
        """
        Make an agent's threads.
        """
        self.pools.append(InlinePool(most, name))
        return self.pools[-1]

    def agent(self, name: str = "a1", **options: Any) -> Agent:
        """
        Make an agent.
        """
        agent = Agent(
            FRONTEND,
            reactor=self.reactor,
            network=self.network.host(name),
            name=name,
            clock=self.clock,
            random=Random(len(self.agents)),
            pool=self.pool,
            **{"slots": 2, **options},
        )
        self.agents.append(agent)
        return agent

    def pump(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.reactor.pump([0.01] * round(seconds / 0.01))

    def until(self, condition: Callable[[], object], limit: float = 60.0) -> None:
        """
        Let time pass until something is so.
        """
        for _ in range(round(limit / 0.05)):
            if condition():
                return
            self.pump(0.05)
        raise AssertionError("It did not come to that in time.")

    def answer(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        """
        Wait for the final answer to a request.
        """
        self.until(lambda: self.client.final(number))
        found = self.client.final(number)
        assert found is not None
        return found

    def ask(self, command: str, *payload: bytes, **properties: Any) -> Any:
        """
        Ask, and wait for the result.
        """
        answer, frames = self.answer(self.client.ask(command, *payload, **properties))
        return answer.get("result", answer), frames

    def close(self) -> None:
        """
        Stop everything.
        """
        for agent in self.agents:
            agent.stopService()
            agent.abort()
        if self.broker is not None:
            self.broker.stopService()
            self.broker.stopNow()
            self.pump(0.1)
        self.network.close()


def outcome(deferred: Deferred[Any]) -> list[Any]:
    """
    What a Deferred fires with, once it does.
    """
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found
