# -*- test-case-name: tests.broker.test_services -*-
"""
Services and their queues: a line for all agents, and one for each set of
names that parts wait for, so that a busy name blocks nobody else.

Within a line the highest priority goes first; within a priority clients take
turns, so that a greedy one blocks nobody else; within a client's, the oldest.
Lines from which an agent may be given something take turns as well.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import TYPE_CHECKING

from attrs import define, field

from jobroute.broker.parts import Part
from jobroute.broker.waiting import Waiting
from jobroute.interfaces import IPolicy

if TYPE_CHECKING:
    from jobroute.broker.roster import Agent

#: At so many lines at most somebody looks who only wants to tell.
LOOKED_AT = 100

#: Whom a line is for: these names, or all but those.
_Names = tuple[str, ...] | frozenset[str] | None
_Turns = OrderedDict[str, Waiting]


def _names(part: Part) -> _Names:
    """
    Who may be given a part; not those that refused it.
    """
    if part.past is None or not part.past.refused:
        return part.names
    if part.names is None:
        return frozenset(part.past.refused)
    return tuple(name for name in part.names if name not in part.past.refused)


@define(eq=False, repr=False)
class Line:
    """
    Parts that wait for the same agents.

    @ivar turn: when something was taken out last, or when it was made.
    """

    names: _Names
    turn: int
    size: int = field(default=0, init=False)
    _levels: dict[int, _Turns] = field(factory=dict, init=False)
    _order: list[int] = field(factory=list, init=False)

    def push(self, part: Part, first: bool = False) -> None:
        """
        Let a part wait, as the client's last or first.
        """
        level = -part.job.priority
        turns = self._levels.get(level)
        if turns is None:
            turns = self._levels[level] = OrderedDict()
            insort(self._order, level)
        own = turns.get(part.job.client)
        if own is None:
            own = turns[part.job.client] = Waiting()
        own.push(part, first)
        self.size += 1

    @property
    def rank(self) -> tuple[int, int]:
        """
        The least of several lines is the one whose turn it is.
        """
        return self._order[0], self.turn

    def head(self) -> Part:
        """
        The part whose turn it is.
        """
        turns = self._levels[self._order[0]]
        return next(iter(turns.values())).head()

    def pop(self) -> Part:
        """
        Take out the part whose turn it is; the next is another client's.
        """
        turns = self._levels[self._order[0]]
        client, own = next(iter(turns.items()))
        part = own.pop()
        if own:
            turns.move_to_end(client)
        self._shrink(-self._order[0], client, own)
        return part

    def remove(self, part: Part) -> None:
        """
        Take out any part.
        """
        client = part.job.client
        own = self._levels[-part.job.priority][client]
        own.remove(part)
        self._shrink(part.job.priority, client, own)

    def _shrink(self, priority: int, client: str, own: Waiting) -> None:
        self.size -= 1
        if own:
            return
        turns = self._levels[-priority]
        del turns[client]
        if not turns:
            del self._levels[-priority]
            self._order.remove(-priority)

    def __iter__(self) -> Iterator[Part]:
        for level in self._order:
            for own in self._levels[level].values():
                yield from own


@define(eq=False, repr=False)
class Service:
    """
    A name under which agents offer work.

    @ivar agents: those that offer it, suspects included.
    @ivar paused: an operator wants nothing of it to be given out.
    @ivar queued: how many parts wait, in all lines.
    @ivar waiting: how many wait for the moment of their next attempt, in none.
    @ivar taken: how many left the lines to be given to an agent.
    """

    name: str
    policy: IPolicy
    _turns: Iterator[int] = field(factory=count)
    agents: dict[str, Agent] = field(factory=dict, init=False)
    paused: bool = field(default=False, init=False)
    queued: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)
    taken: int = field(default=0, init=False)
    _lines: dict[_Names, Line] = field(factory=dict, init=False)
    _by_name: dict[str, dict[_Names, Line]] = field(factory=dict, init=False)
    _but: dict[frozenset[str], Line] = field(factory=dict, init=False)

    def push(self, part: Part, first: bool = False) -> None:
        """
        Let a part wait in its line.
        """
        names = _names(part)
        line = self._lines.get(names)
        if line is None:
            line = self._lines[names] = Line(names, next(self._turns))
            if isinstance(names, frozenset):
                self._but[names] = line
            else:
                for name in names or ():
                    self._by_name.setdefault(name, {})[names] = line
        line.push(part, first)
        self.queued += 1

    def remove(self, part: Part) -> None:
        """
        Take a waiting part out.
        """
        line = self._lines[_names(part)]
        line.remove(part)
        self._shrink(line)

    def line(self, name: str) -> Line | None:
        """
        The line from which an agent of this name is given the next part, if
        anything waits for it.
        """
        best = self._lines.get(None)
        for line in self._by_name.get(name, {}).values():
            if best is None or line.rank < best.rank:
                best = line
        for refused, line in self._but.items():
            if name not in refused and (best is None or line.rank < best.rank):
                best = line
        return best

    def pop(self, line: Line) -> Part:
        """
        Take out the part whose turn it is in a line.
        """
        part = line.pop()
        line.turn = next(self._turns)
        self.taken += 1
        self._shrink(line)
        return part

    def _shrink(self, line: Line) -> None:
        self.queued -= 1
        if line.size:
            return
        del self._lines[line.names]
        if isinstance(line.names, frozenset):
            del self._but[line.names]
            return
        for name in line.names or ():
            lines = self._by_name[name]
            del lines[line.names]
            if not lines:
                del self._by_name[name]

    def next(self) -> Part | None:
        """
        The part that has waited longest of those whose turn it is; of many
        lines, among the first.
        """
        heads = [line.head() for line in islice(self._lines.values(), LOOKED_AT)]
        return min(heads, key=lambda part: part.job.submitted, default=None)

    def __iter__(self) -> Iterator[Part]:
        for line in self._lines.values():
            yield from line


@define(eq=False, repr=False)
class Services:
    """
    All services that somebody offers or waits for.
    """

    _policy: Callable[[], IPolicy]
    _turns: Iterator[int] = field(factory=count, init=False)
    _services: dict[str, Service] = field(factory=dict, init=False)

    def get(self, name: str) -> Service | None:
        """
        The service of a name, if anybody offers it or waits for it.
        """
        return self._services.get(name)

    def need(self, name: str) -> Service:
        """
        The service of a name.
        """
        service = self._services.get(name)
        if service is None:
            service = self._services[name] = Service(name, self._policy(), self._turns)
        return service

    def tidy(self, service: Service) -> None:
        """
        Forget a service that nobody offers and nobody waits for.
        """
        if not (service.queued or service.waiting or service.agents or service.paused):
            self._services.pop(service.name, None)

    def __len__(self) -> int:
        return len(self._services)

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())
