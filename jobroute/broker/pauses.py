# -*- test-case-name: tests.broker.test_pauses -*-
"""
What operators stop, and let go on: agents that are drained, and services that
are paused.  It is stored, and lasts until they say otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from jobroute.broker.agents import Agents
from jobroute.broker.deliveries import Deliveries
from jobroute.broker.events import Events
from jobroute.broker.journal import Journal
from jobroute.broker.roster import Agent, Roster
from jobroute.broker.services import Service, Services
from jobroute.config import Limits
from jobroute.errors import Busy, NoSuchAgent
from jobroute.model import Stopped


@define(eq=False, repr=False)
class Pauses:
    """
    Nothing more is given to an agent that is drained; it finishes what it
    has.  Of a service that is paused nothing is given out; what is handed in
    waits, and what runs goes on.
    """

    _limits: Limits
    _journal: Journal
    _events: Events
    _roster: Roster
    _services: Services
    _agents: Agents
    _deliveries: Deliveries

    def restore(self, stopped: Iterable[tuple[str, str]]) -> None:
        """
        Go on from what is stored, before agents and parts are there.
        """
        for what, name in stopped:
            if what == "agent":
                self._roster.drained[name] = None
            else:
                self._services.need(name).paused = True

    def drain(self, name: str, stopped: bool) -> Agent | None:
        """
        Drain an agent and every later incarnation of it, or let it have work
        again.

        @return: the agent, if it lives.
        @raise NoSuchAgent: if no agent of that name was ever seen.
        """
        if self._roster.known(name) is None:
            raise NoSuchAgent(f"No agent {name} was ever seen.")
        agent = self._roster.get(name)
        if (name in self._roster.drained) is stopped:
            return agent
        self._note("agent", name, stopped)
        self._events.record("agent.drained" if stopped else "agent.resumed", agent=name)
        if stopped:
            self._roster.drained[name] = None
        else:
            del self._roster.drained[name]
        if agent is not None:
            agent.drained = stopped
            if stopped:
                self._agents.unready(agent)
            else:
                self._agents.ready(agent)
        self._journal.flush()
        return agent

    def pause(self, name: str, stopped: bool) -> Service:
        """
        Pause a service, or let it go on.

        @raise Busy: if there are too many services.
        """
        service = self._services.get(name)
        if service is None and stopped and len(self._services) >= self._limits.services:
            raise Busy(f"There are {len(self._services)} services, and that is the limit.")
        service = self._services.need(name)
        if service.paused is not stopped:
            self._note("service", name, stopped)
            kind = "service.paused" if stopped else "service.resumed"
            self._events.record(kind, data={"service": name})
            service.paused = stopped
            if not stopped:
                for agent in list(service.agents.values()):
                    self._deliveries.offer(agent)
            self._journal.flush()
        self._services.tidy(service)
        return service

    def _note(self, what: str, name: str, stopped: bool) -> None:
        self._journal.append(Stopped(what, name, stopped))
