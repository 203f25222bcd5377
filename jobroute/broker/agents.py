# -*- test-case-name: tests.broker.test_agents -*-
"""
Agents: that they come and go, live, and hold what they were given.  How their
attempts went is told to L{jobroute.broker.replies}.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from math import inf
from typing import Any

from attrs import define, field
from zope.interface import implementer

from jobroute.broker.deliveries import Deliveries
from jobroute.broker.endings import Endings
from jobroute.broker.events import Events
from jobroute.broker.journal import Journal
from jobroute.broker.numbers import Numbers
from jobroute.broker.parts import Attempt
from jobroute.broker.registration import Registration, describe
from jobroute.broker.replies import Replies
from jobroute.broker.roster import Agent, Roster
from jobroute.broker.services import Services
from jobroute.broker.verdicts import Verdicts
from jobroute.config import Settings
from jobroute.errors import StorageUnavailable
from jobroute.interfaces import Due, IAgentRoute, IAgents, IClock, IHeartbeat
from jobroute.log import Logger
from jobroute.model import (
    Advice,
    AgentKnown,
    AgentLeft,
    AgentRecord,
    Announcement,
    Frames,
    Held,
    ReplyKind,
)

#: Seconds between two ticks that are no accident of a busy moment any more,
#: whatever the interval of beats; ticks come ten times a second.
STANDSTILL = 0.25

#: How many unknown attempts are cancelled a beat; the rest have the next one.
STRAYS = 1000


@implementer(IAgents)
@define(eq=False, repr=False)
class Agents:
    """
    @ivar epoch: this life of the broker.
    """

    _log = Logger()

    _settings: Settings
    _clock: IClock
    _journal: Journal
    _events: Events
    _numbers: Numbers
    _roster: Roster
    _services: Services
    _heartbeat: IHeartbeat
    _deliveries: Deliveries
    _endings: Endings
    _verdicts: Verdicts
    _counters: dict[str, int]
    epoch: int = field(default=0, init=False)
    _ticked: float = field(default=-inf, init=False)
    _leases: float = field(default=-inf, init=False)
    registration: Registration = field(init=False)
    _replies: Replies = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.registration = Registration(
            self._settings,
            self._clock,
            self._roster,
            self._services,
            self._heartbeat,
            self._counters,
            lambda agent: self.lose(agent, "Another incarnation took its name."),
            self._admit,
        )
        self._replies = Replies(
            self._settings.limits,
            self._journal,
            self._events,
            self._numbers,
            self._deliveries,
            self._endings,
            self._verdicts,
            self._counters,
        )

    # -- Coming and going ----------------------------------------------------

    def announced(self, announcement: Announcement, route: IAgentRoute) -> None:
        """
        See L{IAgents.announced}.
        """
        self.registration.announced(announcement, route)

    def ponged(self, route: IAgentRoute, nonce: str, held: Sequence[Held]) -> None:
        """
        See L{IAgents.ponged}.
        """
        newcomer = self.registration.ponged(route.identity, nonce)
        if route.agent is not None:
            self.beat(route, held)
        elif not newcomer:
            self._counters["strangers"] += 1
            route.reregister()
        self._journal.flush()

    def _admit(self, announcement: Announcement, route: IAgentRoute) -> None:
        agent = self._roster.get(announcement.name)
        if agent is not None and agent.incarnation == announcement.incarnation:
            # The same one again: its connection broke, or it was in doubt.
            agent.route, route.agent = route, agent
            if not self._confirm(agent):
                self._journal.park(self._welcome, agent)
            return
        known = self._roster.known(announcement.name)
        try:
            number = self._numbers.take() if known is None else known.number
        except StorageUnavailable as e:
            self.registration.refuse(route, e.code, str(e))
            return
        agent = Agent(announcement.name, number, announcement, route)
        route.agent = agent
        self.enter(agent)
        record = AgentRecord(agent.name, number, announcement.incarnation, describe(announcement))
        self._roster.enter(agent, record)
        self._heartbeat.add(agent, self._clock.monotonic())
        self._counters["registrations"] += 1
        self._journal.append(AgentKnown(record, self._clock.wall()))
        self._events.record("agent.registered", agent=agent.name, data={"number": number})
        self._journal.park(self._welcome, agent)

    def enter(self, agent: Agent) -> None:
        """
        Let the services know who offers them.
        """
        agent.drained = agent.name in self._roster.drained
        for name in agent.announcement.services:
            service = self._services.need(name)
            agent.services.append(service)
            service.agents[agent.name] = agent

    def _welcome(self, agent: Agent) -> None:
        if agent.gone:
            return
        agent.stored = True
        agent.route.welcome(
            agent.number,
            self.epoch,
            self._settings.heartbeat_interval,
            self._settings.liveness,
            [Held(*key) for key in agent.held],
        )
        agent.welcomed = True
        self.ready(agent)
        self._journal.flush()

    def ready(self, agent: Agent) -> None:
        """
        Give an agent work, if it may have some.
        """
        if agent.admitted or not agent.welcomed or agent.suspect or agent.leaving or agent.gone:
            return
        agent.admitted = True
        for service in agent.services:
            service.policy.add(agent)
        self._deliveries.offer(agent)

    def unready(self, agent: Agent) -> None:
        """
        Give an agent nothing more.
        """
        agent.admitted = False
        for service in agent.services:
            service.policy.remove(agent)

    def _confirm(self, agent: Agent) -> bool:
        """
        An agent was heard.

        @return: whether it is one of an earlier epoch, which is believed now.
        """
        self._heartbeat.heard(agent, self._clock.monotonic())
        if not agent.suspect:
            return False
        agent.suspect = False
        now = self._clock.monotonic()
        for attempt in agent.held.values():
            # The grace period is over only now, whatever it used of it.
            attempt.renewed = now
        self._events.record("agent.returned", agent=agent.name)
        self._journal.park(self._welcome, agent)
        return True

    def draining(self, route: IAgentRoute) -> None:
        """
        See L{IAgents.draining}.
        """
        agent = self._agent(route)
        if agent is not None and not agent.draining:
            agent.draining = True
            self.unready(agent)
            self._events.record("agent.draining", agent=agent.name)
            self._journal.flush()

    def unregistered(self, route: IAgentRoute) -> None:
        """
        See L{IAgents.unregistered}.
        """
        agent: Agent | None = route.agent
        self.registration.gone(route)
        if agent is not None:
            self._remove(agent, "agent.left", "Its agent left.")
            self._journal.flush()

    def lose(self, agent: Agent, reason: str) -> None:
        """
        An agent is lost, and so is what it held.
        """
        self._counters["agents_lost"] += 1
        self._log.info("Agent {agent} is lost: {reason}", agent=agent.name, reason=reason)
        self._remove(agent, "agent.lost", f"Its agent was lost: {reason}")

    def _remove(self, agent: Agent, kind: str, reason: str) -> None:
        self.unready(agent)
        self._heartbeat.remove(agent)
        self._roster.leave(agent)
        for service in agent.services:
            del service.agents[agent.name]
        self._journal.append(AgentLeft(agent.name))
        self._events.record(
            kind, agent=agent.name, data={"reason": reason, "held": len(agent.held)}
        )
        # One that was about to leave is ended by whoever wanted it to leave.
        died = kind == "agent.lost" and not agent.leaving
        for attempt in list(agent.held.values()):
            self._endings.lost(attempt, reason, died)
            self._deliveries.release(attempt)
        for service in agent.services:
            self._services.tidy(service)

    def _agent(self, route: IAgentRoute) -> Agent | None:
        """
        Who speaks, who now was heard.
        """
        agent: Agent | None = route.agent
        if agent is None:
            self._counters["strangers"] += 1
            route.reregister()
            return None
        self._confirm(agent)
        return agent

    # -- Leases --------------------------------------------------------------

    def beat(self, route: IAgentRoute, held: Sequence[Held]) -> None:
        """
        See L{IAgents.beat}.
        """
        agent = self._agent(route)
        if agent is None:
            return
        now = self._clock.monotonic()
        # This may be the first that a broker reads which stood still.
        self._forgive(now)
        named = {(h.part, h.attempt): None for h in held}
        for key, attempt in list(agent.held.items()):
            if key in named:
                attempt.renewed, attempt.left = now, True
            else:
                self._missing(attempt, now)
        unknown = (k for k in named if k not in agent.held and k not in agent.settling)
        for part, number in islice(unknown, STRAYS):
            route.cancel(part, number)
        self._journal.flush()

    def _missing(self, attempt: Attempt, now: float) -> None:
        """
        An agent does not hold what it was given.
        """
        interval = self._settings.heartbeat_interval
        if attempt.sent == inf:
            # It still waits for its commit.
            attempt.renewed = now
        elif now - attempt.sent < interval:
            # The beat may have crossed the delivery.
            return
        elif not attempt.current or attempt.stopping:
            # It was to stop that, and has.
            self._endings.lost(attempt, "Its agent does not hold it.")
            self._deliveries.release(attempt)
        elif self._lapsed(attempt, now):
            self._lapse(attempt)
        elif now - attempt.renewed < interval * self._settings.liveness:
            self._counters["deliveries_repeated"] += 1
            self._deliveries.deliver(attempt)

    def _lapsed(self, attempt: Attempt, now: float) -> bool:
        interval = self._settings.heartbeat_interval
        # What was delivered again at the end of the lease may still be named.
        named = attempt.sent + 2 * interval
        return now >= named and now - attempt.renewed >= interval * self._settings.liveness

    def _lapse(self, attempt: Attempt) -> None:
        self._endings.lost(attempt, "Its agent did not hold it for the whole lease.")
        attempt.agent.route.cancel(*attempt.key)
        self._deliveries.release(attempt)

    def _end_leases(self, now: float) -> None:
        """
        End the leases of agents that talk of everything but what they hold.
        """
        for agent in list(self._roster):
            if not agent.suspect:
                for attempt in list(agent.held.values()):
                    if self._lapsed(attempt, now):
                        self._lapse(attempt)

    # -- Replies -------------------------------------------------------------

    def replied(
        self,
        route: IAgentRoute,
        part: int,
        attempt: int,
        kind: ReplyKind,
        value: Any,
        sequence: int,
        payload: Frames,
        advice: Advice | None = None,
    ) -> None:
        """
        See L{IAgents.replied}.
        """
        agent = self._agent(route)
        if agent is not None:
            self._replies.replied(agent, (part, attempt), kind, value, sequence, payload, advice)
            self._journal.flush()

    def released(self, route: IAgentRoute, part: int, attempt: int) -> None:
        """
        See L{IAgents.released}.
        """
        agent = self._agent(route)
        if agent is not None:
            self._replies.released(agent, (part, attempt))
            self._journal.flush()

    # -- Time ----------------------------------------------------------------

    def tick(self) -> None:
        """
        Ping the silent, give up the lost, and go on with registrations.
        """
        now = self._clock.monotonic()
        self._forgive(now)
        for agent, due in self._heartbeat.due(now):
            try:
                self._silent(agent, due)
            except Exception:
                # Nobody watches the others any more: they must have their turn.
                self._log.failure("Losing agent {agent} failed.", agent=agent.name)
        if now >= self._leases:
            self._leases = now + self._settings.heartbeat_interval
            self._end_leases(now)
        self.registration.tick()
        self._journal.flush()

    def _forgive(self, now: float) -> None:
        """
        When the broker itself stood still (stopped, suspended, stuck), what
        agents said meanwhile is still to be read: nobody was silent.
        """
        gap, self._ticked = now - self._ticked, now
        if max(STANDSTILL, self._settings.heartbeat_interval / 2) < gap < inf:
            self._heartbeat.forgive(gap)
            for agent in self._roster:
                for attempt in agent.held.values():
                    attempt.renewed = min(now, attempt.renewed + gap)

    def _silent(self, agent: Agent, due: Due) -> None:
        if due is Due.PING:
            agent.route.ping(self.registration.nonce())
        elif agent.suspect:
            self.lose(agent, "It did not come back after the broker's restart.")
        else:
            self.lose(agent, "It was silent for too long.")
