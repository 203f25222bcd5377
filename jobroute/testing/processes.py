# -*- test-case-name: tests.simulation.test_simulation -*-
"""
What the simulated processes have in common: they are born, and may die at
any moment.
"""

from __future__ import annotations

from collections.abc import Callable
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
    @ivar died: at which step of the clock somebody died last.
    """

    clock: SimulatedClock
    network: MemoryNetwork
    history: History
    random: Random
    url: str
    died: int = -1


@define(eq=False)
class Process:
    """
    One process in all its lives, on a host of its own.

    @ivar name: of the process and its host.
    @ivar life: which life it is, from 1.
    @ivar up: whether it lives.
    @ivar stopping: whether it ends in order.
    @ivar ahead: how far its wall clock is ahead of the others'.
    @ivar mark: tells the lives of a process from those of another one that
        has the same name at the same time, on another host.
    @ivar graveyard: what earlier lives left behind, kept so that nothing of
        it is collected in the middle of a run.
    """

    place: Place
    name: str
    ahead: float = field(default=0.0, kw_only=True)
    mark: str = field(default="", kw_only=True)
    life: int = field(default=0, init=False)
    up: bool = field(default=False, init=False)
    stopping: bool = field(default=False, init=False)
    reactor: SimulatedReactor = field(init=False)
    clock: ProcessClock = field(init=False)
    random: Random = field(init=False)
    host: MemoryHost = field(init=False)
    graveyard: list[Any] = field(factory=list, init=False)
    #: How many instructions are left until what happens.
    _left: int = field(default=0, init=False)
    _trap: Callable[[], object] | None = field(default=None, init=False)

    @property
    def who(self) -> str:
        """
        Its present life, as the history names it.
        """
        return f"{self.name}.{self.mark}{self.life}"

    @property
    def host_name(self) -> str:
        """
        The name of its host.
        """
        return f"{self.name}-{self.mark}" if self.mark else self.name

    def after_instructions(self, count: int, function: Callable[[], object]) -> None:
        """
        Let something happen to it in the middle of what it does, after so
        many more of its instructions: messages and writes.
        """
        self._left, self._trap = count, function

    def instruction(self) -> None:
        """
        One instruction more.
        """
        if self._left:
            self._left -= 1
            if not self._left and self._trap is not None:
                trap, self._trap = self._trap, None
                trap()

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
        self._left = 0
        self.random = Random(place.random.getrandbits(64))
        self.reactor = SimulatedReactor(place.clock)
        self.clock = ProcessClock(place.clock, self.random.uniform(0.0, 1e6), self.ahead)
        self.host = place.network.host(self.host_name)
        self.note("born", **said)

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        self.begin()

    def crash(self, **said: Any) -> None:
        """
        Die between two instructions: nothing is said, nothing is closed.
        Whatever is under way goes on, but nobody sees it.
        """
        self.note("died", **said)
        self.place.died = self.place.clock.steps
        self.end()

    def end(self) -> None:
        """
        Be no more.
        """
        self.up = False
        self.reactor.kill()
        self.place.network.crash(self.host_name)

    def step(self, seconds: float) -> None:
        """
        Let its wall clock jump.
        """
        self.ahead += seconds
        if self.up:
            self.clock.ahead = self.ahead
