# -*- test-case-name: tests.testing.test_cluster -*-
"""
The processes of a cluster: the real broker, and real agents with functions of
their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from attrs import define, field
from twisted.python.failure import Failure

from jobroute.agent import Agent
from jobroute.broker.heartbeat import Heartbeat
from jobroute.service import BrokerService
from jobroute.testing.brokers import NoDirectory, SimulatedBroker
from jobroute.testing.clock import SimulatedReactor
from jobroute.testing.processes import Process

#: Seconds for which what an agent said last is sent.
LINGER = 0.1


@define(eq=False, repr=False)
class OneThreadReactor(SimulatedReactor):
    """
    A reactor of a process whose threads are none: what they ask the reactor
    to do is done at once, so that they need not wait for it.

    @ivar in_thread: whether such a thread runs just now.
    """

    in_thread: bool = field(default=False, init=False)

    def callFromThread(
        self, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> None:
        """
        See L{IReactorFromThreads}.
        """
        if self.in_thread:
            callable(*args, **kwargs)
        else:
            super().callFromThread(callable, *args, **kwargs)


@define(eq=False, repr=False)
class OneThread:
    """
    The threads of an agent: what would run in one is done in the next turn of
    the reactor, and takes no time.
    """

    _reactor: OneThreadReactor

    def run(self, work: Callable[[], None]) -> None:
        """
        Do it soon.
        """
        self._reactor.callLater(0, self._run, work)

    def _run(self, work: Callable[[], None]) -> None:
        self._reactor.in_thread = True
        try:
            work()
        finally:
            self._reactor.in_thread = False

    def stop(self) -> None:
        """
        Nothing has to end.
        """


@define(eq=False, repr=False)
class ClusterAgent(Process):
    """
    One agent in all its lives.

    @ivar services: names and their functions.
    @ivar agent: the real one.
    @ivar registered: whether this life of it was ever registered.
    @ivar failure: why it could not serve, if it could not.
    """

    services: Mapping[str, Callable[..., Any] | str] = field(kw_only=True)
    slots: int = field(default=1, kw_only=True)
    prefetch: int = field(default=0, kw_only=True)
    labels: Mapping[str, str] = field(factory=dict, kw_only=True)
    agent: Agent | None = field(default=None, init=False)
    registered: bool = field(default=False, init=False)
    failure: str = field(default="", init=False)

    def start(self) -> None:
        """
        Live, the first time or again: each time as a new incarnation.
        """
        self.begin()
        reactor = self.reactor = OneThreadReactor(self.place.clock)
        agent = self.agent = Agent(
            self.place.url,
            reactor,
            self.host,
            self.name,
            self.services,
            self.slots,
            self.prefetch,
            labels=self.labels,
            clock=self.clock,
            random=self.random,
            pool=lambda slots, name: OneThread(reactor),
        )
        self.registered = False
        agent.startService()
        life = self.life

        def ready(_: None) -> None:
            self.registered = self.registered or self.life == life

        agent.whenReady().addCallbacks(ready, lambda failure: None)

        def over(reason: str) -> None:
            # What it said last is still on its way.
            reactor.callLater(LINGER, ended, reason)

        def ended(reason: str) -> None:
            if self.up and self.life == life:
                self.failure = reason
                self.end()

        agent.whenStopped().addCallbacks(
            lambda _: over(""), lambda failure: over(str(failure.value))
        )

    def stop(self) -> None:
        """
        End in order.
        """
        assert self.agent is not None
        self.stopping = True
        self.agent.stopService()

    def end(self) -> None:
        """
        Be no more.
        """
        super().end()
        self.graveyard.append(self.agent)
        self.agent = None


@define(eq=False, repr=False)
class ClusterBroker(SimulatedBroker):
    """
    The broker in all its lives, without a history of what was said.

    @ivar watch: what it knows of who was heard when.
    @ivar failure: why it ended by itself.
    """

    watch: Heartbeat = field(init=False)
    failure: str = field(default="", init=False)

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        self.begin()
        self.watch = Heartbeat(self.settings.heartbeat_interval, self.settings.liveness)
        service = self.service = BrokerService(
            self.settings,
            self.reactor,
            network=self.host,
            clock=self.clock,
            storage=self.disk,
            heartbeat=self.watch,
            directory=NoDirectory(""),
            random=self.random,
        )
        life = self.life

        def ready(_: None) -> None:
            if self.life == life:
                self.serving = self.up

        def ended(failure: Failure) -> None:
            # By itself: it could not start, or had to end.
            if self.up and self.life == life:
                self.failure = str(failure.value)
                self.end()

        service.whenReady().addCallbacks(ready, lambda failure: None)
        service.whenStopped().addErrback(ended)
        service.startService()

    @property
    def lease(self) -> float:
        """
        Seconds after which a silent agent is lost.
        """
        return self.settings.heartbeat_interval * self.settings.liveness

    @property
    def quiet(self) -> bool:
        """
        Whether nothing is on its way, and nobody who is known is silent.
        """
        service = self.service
        if service is None:
            return True
        if not self.serving or self.disk.pending:
            return False
        broker, now = service.broker, self.clock.monotonic()
        return not len(broker.agents.registration) and all(
            agent.ready and self.watch.silence(agent, now) < self.lease / 2
            for agent in broker.roster
        )

    @property
    def next_limit(self) -> float:
        """
        In how many seconds at the earliest a limit of a part is reached.
        """
        service = self.service
        if service is None:
            return inf
        limit = service.broker.dispatcher.next_limit
        return inf if limit is None else limit - self.clock.monotonic()
