# -*- test-case-name: tests.broker.test_routing -*-
"""
Which agent is given a part, or the reason why none is.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace, nsmallest
from itertools import count
from typing import TYPE_CHECKING

from attrs import define, field
from zope.interface import implementer

from jobroute.broker.parts import Part
from jobroute.interfaces import ICandidate, IPolicy

if TYPE_CHECKING:
    from jobroute.broker.roster import Agent, Roster
    from jobroute.broker.services import Service

_Entry = tuple[float, int, int, ICandidate]

# Breaks ties by age, so that two incarnations are never compared.
_serial = count()


def _entry(candidate: ICandidate) -> _Entry:
    return (
        candidate.outstanding / candidate.slots,
        candidate.used,
        next(_serial),
        candidate,
    )


@implementer(IPolicy)
@define(eq=False, repr=False)
class LeastLoaded:
    """
    The agent with the fewest outstanding parts a slot; among equals the one
    that was used least recently.

    A heap whose entries may claim too little load, never too much: the top is
    put right when it is looked at.  A pick costs a logarithm of the number of
    agents, and a reply usually nothing.
    """

    _live: dict[ICandidate, _Entry | None] = field(factory=dict, init=False)
    _heap: list[_Entry] = field(factory=list, init=False)

    def add(self, candidate: ICandidate) -> None:
        """
        See L{IPolicy.add}.
        """
        self._live[candidate] = None
        self.changed(candidate)

    def remove(self, candidate: ICandidate) -> None:
        """
        See L{IPolicy.remove}.
        """
        self._live.pop(candidate, None)

    def changed(self, candidate: ICandidate) -> None:
        """
        See L{IPolicy.changed}.
        """
        if candidate not in self._live or candidate.credit <= 0:
            return
        entry = self._live[candidate]
        if entry is not None and entry[0] * candidate.slots <= candidate.outstanding:
            return
        if len(self._heap) > 64 + 4 * len(self._live):
            self._heap = [e for e in self._heap if self._live.get(e[3]) is e]
            heapify(self._heap)
        fresh = self._live[candidate] = _entry(candidate)
        heappush(self._heap, fresh)

    def pick(self) -> ICandidate | None:
        """
        See L{IPolicy.pick}.
        """
        heap, live = self._heap, self._live
        while heap:
            entry = heap[0]
            candidate = entry[3]
            if live.get(candidate) is not entry:
                heappop(heap)
            elif candidate.credit <= 0:
                live[candidate] = None
                heappop(heap)
            else:
                fresh = _entry(candidate)
                if fresh[0] == entry[0] and fresh[1] == entry[1]:
                    return candidate
                live[candidate] = fresh
                heapreplace(heap, fresh)
        return None

    def best(self, candidates: Iterable[ICandidate], number: int) -> list[ICandidate]:
        """
        See L{IPolicy.best}.
        """
        return [entry[3] for entry in nsmallest(number, map(_entry, candidates))]


def route(part: Part, service: Service, roster: Roster) -> Agent | None:
    """
    The agent that C{part} should go to now, or L{None} if it has to wait.
    """
    if service.paused:
        return None
    names = part.names
    refused = part.refused
    if refused:
        fit = [a for a in fitting(part, service) if a.ready and a.credit > 0]
        return service.policy.best(fit, 1)[0] if fit else None  # type: ignore[return-value]
    if names is None:
        return service.policy.pick()  # type: ignore[return-value]
    free: list[ICandidate] = []
    for name in names:
        agent = roster.get(name)
        if agent is not None and agent.ready and agent.credit > 0 and name in service.agents:
            free.append(agent)
    if len(free) > 1:
        return service.policy.best(free, 1)[0]  # type: ignore[return-value]
    return free[0] if free else None  # type: ignore[return-value]


def fitting(part: Part, service: Service, refused: bool = False) -> list[Agent]:
    """
    The agents that could be given a part if they had credit.

    @param refused: also those that refused it.
    """
    no = () if refused else part.refused
    names = service.agents if part.names is None else part.names
    agents = (service.agents.get(name) for name in names if name not in no)
    return [agent for agent in agents if agent is not None and not agent.draining]


def all_refused(part: Part, service: Service) -> bool:
    """
    Whether nobody is left who could be given a part: all refused it.
    """
    if part.names is not None and all(name in part.refused for name in part.names):
        return True
    return not fitting(part, service) and bool(fitting(part, service, refused=True))


def why(part: Part, service: Service | None, roster: Roster) -> tuple[str, str]:
    """
    Why a queued part waits: a code and a sentence that names the nearest
    miss.
    """
    name = part.job.service
    if service is not None and service.paused:
        return "paused", f"The service {name} is paused."
    if part.names is not None and len(part.names) == 1:
        return _why_named(part.names[0], name, roster)
    offering = [] if service is None else list(service.agents.values())
    if not offering:
        return "no-agent", f"No agent offers the service {name}."
    if part.names is not None:
        wanted = set(part.names)
        chosen = [a for a in offering if a.name in wanted]
        if not chosen:
            asked = ", ".join(part.names[:5])
            return (
                "no-named-agent",
                f"None of {asked} offers the service {name}; {offering[0].name} does.",
            )
        offering = chosen
    if part.refused:
        left = [a for a in offering if a.name not in part.refused]
        if not left:
            refusing = ", ".join(part.refused[-5:])
            return (
                "refused",
                f"{refusing} refused it, and no other agent offers the service {name}.",
            )
        offering = left
    ready = [a for a in offering if a.ready]
    if not ready:
        nearest = offering[0]
        return (
            "none-ready",
            f"{_agents(len(offering))} the service {name}, and none is ready: "
            f"{nearest.name} is {nearest.state}.",
        )
    full = [a for a in ready if a.credit <= 0]
    if len(full) == len(ready):
        nearest = min(full, key=lambda a: (a.outstanding / a.slots, a.name))
        return (
            "all-full",
            f"{_agents(len(full))} the service {name}, and all are full: "
            f"{nearest.name} holds {nearest.outstanding} of {nearest.capacity}.",
        )
    return "moving", "It is about to be delivered."


def _agents(count: int) -> str:
    return "1 agent offers" if count == 1 else f"{count} agents offer"


def _why_named(name: str, service: str, roster: Roster) -> tuple[str, str]:
    agent = roster.get(name)
    if agent is None:
        if roster.known(name) is None:
            return "no-such-agent", f"No agent {name} was ever seen."
        return "agent-away", f"Agent {name} is not connected."
    if service not in agent.announcement.services:
        offered = ", ".join(agent.announcement.services[:5])
        return "not-offered", f"Agent {name} does not offer the service {service}, but {offered}."
    if not agent.ready:
        return "not-ready", f"Agent {name} is {agent.state}."
    return "agent-full", f"Agent {name} is full: it holds {agent.outstanding} of {agent.capacity}."
