# -*- test-case-name: tests.broker.test_agents -*-
"""
The agents: their names and numbers, and the sole account of their slots.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from zope.interface import implementer

from jobroute.broker.parts import Attempt
from jobroute.broker.services import Service
from jobroute.interfaces import IAgentRoute, ICandidate
from jobroute.model import AgentRecord, AgentState, Announcement


@implementer(ICandidate)
@define(eq=False, repr=False)
class Agent:
    """
    One incarnation of an agent.

    @ivar held: the attempts that it has, by part and number; each takes a
        slot, also one that it was asked to stop and has not let go of.
    @ivar settling: attempts whose final reply is not acknowledged yet.
    @ivar suspect: restored after a restart, and not heard since.
    @ivar notes: how many of its replies were refused.
    @ivar draining: it wants nothing more.
    @ivar drained: an operator wants it to have nothing more.
    @ivar welcomed: it knows that it is taken.
    @ivar admitted: it may be given parts.
    @ivar stored: that it is an agent, with its number, is on disk.
    """

    name: str
    number: int
    announcement: Announcement
    route: IAgentRoute
    slots: int = field(init=False)
    capacity: int = field(init=False)
    held: dict[tuple[int, int], Attempt] = field(factory=dict, init=False)
    settling: dict[tuple[int, int], None] = field(factory=dict, init=False)
    services: list[Service] = field(factory=list, init=False)
    used: int = field(default=0, init=False)
    notes: int = field(default=0, init=False)
    suspect: bool = False
    draining: bool = False
    drained: bool = False
    welcomed: bool = False
    admitted: bool = False
    stored: bool = False
    gone: bool = False

    def __attrs_post_init__(self) -> None:
        self.slots = self.announcement.slots
        self.capacity = self.announcement.slots + self.announcement.prefetch

    @property
    def incarnation(self) -> str:
        """
        Which life of its process this is.
        """
        return self.announcement.incarnation

    @property
    def outstanding(self) -> int:
        """
        How many attempts it holds.
        """
        return len(self.held)

    @property
    def credit(self) -> int:
        """
        How many more it may be given.
        """
        return self.capacity - len(self.held)

    @property
    def ready(self) -> bool:
        """
        Whether it may be given parts, if it has credit.
        """
        return self.admitted and not (self.suspect or self.leaving or self.gone)

    @property
    def leaving(self) -> bool:
        """
        Whether it is to have nothing more.
        """
        return self.draining or self.drained

    @property
    def state(self) -> AgentState:
        """
        Where it is in its life.
        """
        if self.gone:
            return AgentState.GONE
        if self.suspect:
            return AgentState.SUSPECT
        if self.leaving:
            return AgentState.DRAINING
        return AgentState.BUSY if self.held else AgentState.READY

    def describe(self, silent: float) -> dict[str, Any]:
        """
        What C{LIST} says of it.
        """
        a = self.announcement
        return {
            "agent_id": self.name,
            "number": self.number,
            "pid": a.pid,
            "hostname": a.hostname,
            "state": self.state,
            "drained": self.drained,
            "services": list(a.services),
            "slots": self.slots,
            "prefetch": a.prefetch,
            "outstanding": len(self.held),
            "load": round(len(self.held) / self.slots, 3),
            "labels": a.labels,
            # Not all of it: who knows that could take its identity over.
            "incarnation": a.incarnation[:8],
            "version": a.version,
            "silent": round(max(0.0, silent), 3),
        }


@define(eq=False, repr=False)
class Roster:
    """
    All agents that live or may still come back, and all names ever given.

    @ivar drained: the names of those that operators have drained.
    """

    drained: dict[str, None] = field(factory=dict, init=False)
    _agents: dict[str, Agent] = field(factory=dict, init=False)
    _known: dict[str, AgentRecord] = field(factory=dict, init=False)

    def restore(self, records: tuple[AgentRecord, ...]) -> None:
        """
        Know these names and numbers.
        """
        for record in records:
            self._known[record.name] = record

    def known(self, name: str) -> AgentRecord | None:
        """
        The latest agent of a name, living or not.
        """
        return self._known.get(name)

    @property
    def names(self) -> int:
        """
        How many names are known.
        """
        return len(self._known)

    def __len__(self) -> int:
        return len(self._agents)

    def __iter__(self) -> Any:
        return iter(self._agents.values())

    def get(self, name: str) -> Agent | None:
        """
        The living agent of a name.
        """
        return self._agents.get(name)

    def enter(self, agent: Agent, record: AgentRecord) -> None:
        """
        An agent lives.
        """
        self._agents[agent.name] = agent
        self._known[agent.name] = record

    def leave(self, agent: Agent) -> None:
        """
        It lives no more.
        """
        agent.gone = True
        agent.route.agent = None
        agent.route.close()
        if self._agents.get(agent.name) is agent:
            del self._agents[agent.name]
