# -*- test-case-name: tests.simulation.test_simulation -*-
"""
The real agent in a simulated process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from attrs import define, field
from twisted.python.failure import Failure

from jobroute.agent import Agent
from jobroute.agent.attempts import Attempt
from jobroute.testing.clock import SimulatedReactor
from jobroute.testing.errands import Worker
from jobroute.testing.processes import Process
from jobroute.testing.tap import TappedNetwork


@define(eq=False)
class SimulatedPool:
    """
    Threads that are calls of the reactor, later.
    """

    _process: Process
    _random: Random

    def run(self, work: Callable[[], None]) -> None:
        """
        Do it soon.
        """
        self._process.reactor.callLater(self._random.uniform(0.0, 0.6), work)

    def stop(self) -> None:
        """
        Nothing has to end.
        """


def _nobody(address: str, received: bool, frames: Sequence[bytes]) -> None:
    """
    The broker's history has all that is said.
    """


@define(eq=False)
class SimulatedAgent(Process):
    """
    One agent in all its lives.

    @ivar slots: how many parts it works on at a time.
    @ivar prefetch: how many more it may hold.
    @ivar rare: whether it offers what not everybody does.
    @ivar agent: the real one.
    """

    slots: int = field(kw_only=True)
    prefetch: int = field(kw_only=True)
    rare: bool = field(kw_only=True)
    agent: Agent | None = field(default=None, init=False)

    def start(self) -> None:
        """
        Live, the first time or again: each time as a new incarnation.
        """
        self.begin()
        worker = Worker(self.reactor, self.who, partial(self._noted, self.reactor))
        agent = self.agent = Agent(
            self.place.url,
            self.reactor,
            TappedNetwork(self.host, _nobody, self._passes),
            self.name,
            worker.functions(self.rare),
            self.slots,
            self.prefetch,
            clock=self.clock,
            random=self.random,
            drain=2.0,
            settle=2.0,
            pool=lambda slots, name: SimulatedPool(self, self.random),
        )
        agent.startService()
        life, incarnation = self.life, agent.incarnation
        assert incarnation is not None
        self.note("incarnation", agent=incarnation.core.announcement.incarnation)
        agent.whenStopped().addCallbacks(
            lambda _: self._stopped(life), self._refused, (), {}, (life,), {}
        )

    def stop(self) -> None:
        """
        End in order.
        """
        assert self.agent is not None
        self.stopping = True
        self.note("stopping")
        self.agent.stopService()

    @property
    def attempts(self) -> list[Attempt]:
        """
        What it holds.
        """
        incarnation = None if self.agent is None else self.agent.incarnation
        return [] if incarnation is None else incarnation.core.work.attempts

    def _noted(self, reactor: SimulatedReactor, what: str, **said: Any) -> None:
        if reactor.alive:
            self.note(what, **said)

    def _passes(self, address: str, received: bool, frames: Sequence[bytes]) -> bool:
        reactor = self.reactor
        self.instruction()
        return reactor.alive

    def _stopped(self, life: int) -> None:
        if self.up and self.life == life:
            self.note("left")
            self.end()

    def _refused(self, failure: Failure, life: int) -> None:
        if self.up and self.life == life:
            self.note("gave-up", reason=str(failure.value))
            self.end()

    def end(self) -> None:
        """
        Be no more.
        """
        super().end()
        self.graveyard.append(self.agent)
        self.agent = None
