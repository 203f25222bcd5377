# -*- test-case-name: tests.testing.test_cluster -*-
"""
The machines of a cluster: its time, and what can go wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from jobroute.config import Settings
from jobroute.testing.clock import SimulatedClock, SimulatedReactor
from jobroute.testing.disk import SimulatedDisk
from jobroute.testing.history import History
from jobroute.testing.members import ClusterAgent, ClusterBroker
from jobroute.testing.processes import Place, Process
from jobroute.zeromq.memory import MemoryNetwork

#: How long a method waits for an answer, in simulated seconds.
PATIENCE = 600.0

#: Seconds that a commit takes.
COMMIT = 0.001


def some(names: Iterable[str]) -> str:
    """
    The first of some names.
    """
    listed = list(names)
    return ", ".join(listed[:5]) + (" …" if len(listed) > 5 else "")


class NeverDone(AssertionError):
    """
    Something did not happen in the time that was given to it; says why.
    """


def _down(process: Process) -> bool:
    return not process.up


@define(eq=False, repr=False)
class Machines:
    """
    A broker, agents and clients, each on a host of its own.

    @ivar broker: the broker's process.
    @ivar agents: the agents' processes, by name.
    @ivar clients: the clients' processes, by name.
    @ivar reactor: for timers of the test and of its functions: give it to
        whatever wants a reactor.
    """

    _seed: int
    _settings: Settings
    _members: dict[str, dict[str, Any]]
    _delay: tuple[float, float]
    broker: ClusterBroker = field(init=False)
    agents: dict[str, ClusterAgent] = field(factory=dict, init=False)
    clients: dict[str, Process] = field(factory=dict, init=False)
    reactor: SimulatedReactor = field(init=False)
    _weather: SimulatedReactor = field(init=False)
    _clock: SimulatedClock = field(init=False)
    _place: Place = field(init=False)
    _cut: dict[str, None] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        random = Random(self._seed)
        clock = self._clock = SimulatedClock(Random(random.getrandbits(64)))
        self.reactor, self._weather = SimulatedReactor(clock), SimulatedReactor(clock)
        network = MemoryNetwork(self._weather, Random(random.getrandbits(64)), delay=self._delay)
        history = History(lambda: clock.now)
        url = self._settings.endpoints["frontend"]
        place = self._place = Place(clock, network, history, random, url)
        disk = SimulatedDisk(self._commit_later)
        self.broker = ClusterBroker(place, "broker", disk=disk, settings=self._settings)
        for name, how in self._members.items():
            self.agents[name] = ClusterAgent(place, name, **how)

    @property
    def processes(self) -> Iterator[Process]:
        """
        All of them.
        """
        yield self.broker
        yield from self.agents.values()
        yield from self.clients.values()

    def _process(self, name: str) -> Process:
        for process in self.processes:
            if process.name == name:
                return process
        raise ValueError(
            f"There is no {name} in this cluster, but the broker, {some(self.agents)}."
        )

    # -- Time

    @property
    def now(self) -> float:
        """
        Simulated seconds since the cluster was made.
        """
        return self._clock.now

    def advance(
        self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """
        Let time pass.  Long times in which nothing would happen but beats are
        leapt over.
        """
        until = self.now + seconds + 60 * (minutes + 60 * (hours + 24 * days))
        settle = 4 * self.broker.lease
        while until - self.now > 3 * settle:
            self._clock.advance(settle)
            quiet = min(until, self._next_event()) - settle - self.now
            if quiet > settle:
                self._clock.leap(quiet, (self.reactor, self._weather))
        self._clock.advance(max(0.0, until - self.now))

    def _next_event(self) -> float:
        """
        Until when nothing can happen but beats.
        """
        busy = any(p.reactor.frozen_until > self.now for p in self.processes)
        busy = busy or any(p.up and p.reactor.getDelayedCalls() for p in self.clients.values())
        if busy or not self.broker.quiet:
            return self.now
        calls = self.reactor.getDelayedCalls()
        mine = min((call.getTime() for call in calls), default=inf)
        return min(mine, self.now + self.broker.next_limit)

    def sleep(self, seconds: float) -> Deferred[None]:
        """
        Fires in so many simulated seconds; for services of the test.
        """
        return deferLater(self.reactor, seconds)

    def run_until(
        self, condition: Callable[[], object], within: float = PATIENCE, what: str = "it"
    ) -> None:
        """
        Let time pass until something is so.

        @param within: for how many seconds at most.
        @param what: what is waited for, for the error.
        @raise NeverDone: if it is not so by then.
        """
        until = self.now + within
        while not condition():
            moment = self._clock.next_due()
            if moment is None or moment > until:
                raise NeverDone(
                    f"Waited {within:g} simulated seconds for {what}. {self.trouble()}".rstrip()
                )
            self._clock.advance(max(0.0, moment - self.now))

    def trouble(self) -> str:
        """
        What is down, cut off or frozen, as a sentence.
        """
        down = [
            p.name
            + (
                f" ({p.failure})"
                if isinstance(p, ClusterAgent | ClusterBroker) and p.failure
                else ""
            )
            for p in self.processes
            if not p.up
        ]
        frozen = [p.name for p in self.processes if p.up and p.reactor.frozen_until > self.now]
        said = [
            f"{word}: {some(names)}"
            for word, names in (("Down", down), ("Cut off", list(self._cut)), ("Frozen", frozen))
            if names
        ]
        return "; ".join(said) + "." if said else ""

    # -- Faults

    def partition(self, *names: str) -> None:
        """
        Cut hosts off from all others.
        """
        for name in names:
            process = self._process(name)
            self._cut[name] = None
            self._place.network.partition(process.name)

    def heal(self, *names: str) -> None:
        """
        End L{partition}, of all that are cut off if none is named.
        """
        for name in names or tuple(self._cut):
            process = self._process(name)
            self._cut.pop(name, None)
            self._place.network.heal(process.name)

    def kill(self, *names: str) -> None:
        """
        Let processes die between two instructions, as with C{kill -9}.
        """
        for name in names:
            process = self._process(name)
            if process.up:
                process.crash()

    def start(self, *names: str) -> None:
        """
        Start processes that are down: agents as new incarnations, the broker
        with what is on its disk.
        """
        for name in names:
            process = self._process(name)
            if not process.up:
                process.start()

    def stop(self, *names: str) -> None:
        """
        Let processes end in order; returns when they have.
        """
        for name in names:
            process = self._process(name)
            if process.up and isinstance(process, ClusterAgent | ClusterBroker):
                process.stop()
                self.run_until(partial(_down, process), what=f"{name} to stop")

    def freeze(self, name: str, seconds: float) -> None:
        """
        Let a process stand still, as with C{kill -STOP}, and not know of it.
        """
        self._process(name).reactor.freeze(seconds)

    def step_clock(self, seconds: float) -> None:
        """
        Let the wall clock of all jump, as an administrator or NTP does.
        """
        self._clock.step(seconds)

    def crash_broker(self) -> None:
        """
        Let the broker die; what is not on its disk is lost.
        """
        self.kill("broker")

    def restart_broker(self) -> None:
        """
        Start the broker, after it crashed or as it is; returns when clients
        are served.
        """
        self.stop("broker")
        self.start("broker")
        self.run_until(lambda: self.broker.serving, what="the broker to start")

    # -- The disk

    def _commit_later(self, commit: Callable[[], None]) -> None:
        held = self.broker.reactor.frozen_until - self.now
        if held > 0:
            self.reactor.callLater(held, self._commit_later, commit)
        else:
            self.reactor.callLater(COMMIT, commit)
