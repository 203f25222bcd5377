# -*- test-case-name: tests.simulation.test_simulation -*-
"""
What the simulated processes have in common: they are born, and may die at
any moment.
"""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import define, field

from jobroute.testing.clock import ProcessClock, SimulatedClock, SimulatedReactor
from jobroute.testing.history import Entry, History
from jobroute.zeromq.memory import MemoryHost, MemoryNetwork


@define(eq=False)
class Place:
    """
    Where processes live.

    @ivar url: of the broker's frontend.
    """

    clock: SimulatedClock
    network: MemoryNetwork
    history: History
    random: Random
    url: str


@define(eq=False)
class Process:
    """
    One process in all its lives, on a host of its own.

    @ivar name: of the process and its host.
    @ivar life: which life it is, from 1.
    @ivar up: whether it lives.
    @ivar stopping: whether it ends in order.
    @ivar graveyard: what earlier lives left behind, kept so that nothing of
        it is collected in the middle of a run.
    """

    place: Place
    name: str
    life: int = field(default=0, init=False)
    up: bool = field(default=False, init=False)
    stopping: bool = field(default=False, init=False)
    reactor: SimulatedReactor = field(init=False)
    clock: ProcessClock = field(init=False)
    random: Random = field(init=False)
    host: MemoryHost = field(init=False)
    graveyard: list[Any] = field(factory=list, init=False)

    @property
    def who(self) -> str:
        """
        Its present life, as the history names it.
        """
        return f"{self.name}.{self.life}"

    def note(self, what: str, **said: Any) -> Entry:
        """
        Let the history know.
        """
        return self.place.history.add(self.who, what, **said)

    def begin(self, **said: Any) -> None:
        """
        Be born.
        """
        place = self.place
        self.life += 1
        self.up = True
        self.stopping = False
        self.random = Random(place.random.getrandbits(64))
        self.reactor = SimulatedReactor(place.clock)
        self.clock = ProcessClock(place.clock, self.random.uniform(0.0, 1e6))
        self.host = place.network.host(self.name)
        self.note("born", **said)

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        self.begin()

    def crash(self, **said: Any) -> None:
        """
        Die between two instructions: nothing is said, nothing is closed.
        """
        self.note("died", **said)
        self.end()

    def end(self) -> None:
        """
        Be no more.
        """
        self.up = False
        self.reactor.kill()
        self.place.network.crash(self.name)
