# -*- test-case-name: tests.broker.test_recovery -*-
"""
Going on where an earlier epoch ended.

Parts that waited wait again, in their order.  Parts that were running stay
with their agent, which is suspect until it is heard; what nobody confirms
within the grace period is lost like anything an agent was lost with.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import msgspec
from attrs import define, field

from jobroute.broker.agents import Agents
from jobroute.broker.clients import Clients
from jobroute.broker.deliveries import Deliveries
from jobroute.broker.journal import Journal
from jobroute.broker.parts import Attempt, Job, Part
from jobroute.broker.pauses import Pauses
from jobroute.broker.registration import described
from jobroute.broker.retries import Retries
from jobroute.broker.roster import Agent, Roster
from jobroute.broker.verdicts import Verdicts
from jobroute.config import Settings
from jobroute.interfaces import IAgentRoute, IClock, IHeartbeat
from jobroute.log import Logger
from jobroute.model import (
    AgentRecord,
    JobRecord,
    PartQueued,
    PartRecord,
    PartState,
    Restored,
    SetAside,
    Verdict,
)


@define(eq=False, repr=False)
class Recovery:
    """
    Rebuilds the living objects from what the store says.

    @ivar route: makes the route of an incarnation, heard or not.
    """

    _log = Logger()

    _settings: Settings
    _clock: IClock
    _roster: Roster
    _heartbeat: IHeartbeat
    _clients: Clients
    _agents: Agents
    _deliveries: Deliveries
    _verdicts: Verdicts
    _journal: Journal
    _retries: Retries
    _pauses: Pauses
    _route: Callable[[str], IAgentRoute]
    _orphans: list[Part] = field(factory=list, init=False)
    _now: float = field(default=0.0, init=False)
    _wall: float = field(default=0.0, init=False)

    def restore(self, restored: Restored) -> None:
        """
        Put everything in its place.
        """
        if restored.aside is not None:
            self._say_aside(restored.aside)
        self._roster.restore(restored.agents)
        self._pauses.restore(restored.stopped)
        for record in restored.agents:
            if record.living:
                self._agent(record)
        collecting = gc.isenabled()
        # It would look again and again at all that is made here.
        gc.disable()
        try:
            jobs = self._restore_jobs(restored)
        finally:
            if collecting:
                gc.enable()
        # A million parts take their time, and nobody was silent meanwhile.
        now = self._clock.monotonic()
        for agent in self._roster:
            self._heartbeat.add(agent, now, self._settings.grace)
            for attempt in agent.held.values():
                attempt.renewed = attempt.sent = now
        orphans, self._orphans = self._orphans, []
        for orphan in orphans:
            self._orphan(orphan)
        if jobs or len(self._roster):
            self._log.info(
                "Epoch {epoch} goes on with {jobs} jobs and {agents} agents.",
                epoch=restored.epoch,
                jobs=jobs,
                agents=len(self._roster),
            )

    def _restore_jobs(self, restored: Restored) -> int:
        self._now, self._wall = self._clock.monotonic(), self._clock.wall()
        count = 0
        for record, parts in restored.jobs:
            job = self._job(record)
            for part in parts:
                self._part(part, job)
            count += 1
        return count

    def _say_aside(self, aside: SetAside) -> None:
        """
        A person has to know where the old store is.
        """
        if aside.jobs is None:
            self._log.warn(
                "Began anew: the store, which cannot be read, is in {path}.", path=aside.path
            )
        else:
            self._log.warn(
                "Began anew: the store, with {jobs} open jobs and {agents} agents, is in {path}.",
                jobs=aside.jobs,
                agents=aside.agents,
                path=aside.path,
            )

    def _agent(self, record: AgentRecord) -> None:
        try:
            announcement = described(record.description)
        except msgspec.DecodeError:
            self._log.error("The record of agent {agent} cannot be read.", agent=record.name)
            return
        route = self._route(record.incarnation)
        agent = Agent(record.name, record.number, announcement, route, suspect=True, stored=True)
        route.agent = agent
        self._agents.enter(agent)
        self._roster.enter(agent, record)

    def _job(self, record: JobRecord) -> Job:
        job = Job(
            record.number,
            record.namespace,
            record.id,
            record.client,
            record.service,
            record.target,
            None,
            record.priority,
            record.attempts,
            record.queue_limit,
            record.run_limit,
            record.deadline,
            record.submitted,
            # A clock that was set back gives nobody more time than there was.
            self._now + min(record.deadline - self._wall, record.deadline - record.submitted),
            False,
            None,
            retry=record.retry,
            max_lost=record.max_lost,
            origin=record.origin,
        )
        self._verdicts.jobs[job.namespace, job.id] = job
        self._clients.job(job.client)
        return job

    def _part(self, record: PartRecord, job: Job) -> None:
        now, made = self._now, record.attempt
        part = Part(record.number, job, record.index, record.names, record.state, made)
        job.parts.append(part)
        part.past = record.past
        if not made and part.state is PartState.QUEUED and job.queue_limit is record.due is None:
            # Nothing happened to most of them.
            job.open += 1
            self._deliveries.restore(part, now)
            return
        part.agent = record.agent
        part.partials = record.partials
        part.cancelling = record.cancelling
        part.verdict = record.verdict
        part.reason = record.reason
        part.ended = record.ended
        part.frames = record.frames
        part.told = record.state is PartState.DONE
        if part.state is PartState.DONE:
            return
        job.open += 1
        if part.state is PartState.QUEUED:
            if job.queue_limit is not None:
                # When a part came back to the queue nobody knows: not before now.
                since = record.due or (self._wall if made else job.submitted)
                ahead = since - self._wall
                if record.due is None:
                    ahead = min(ahead, 0.0)
                part.queue_until = now + job.queue_limit + ahead
            if record.due is not None and record.due > self._wall:
                part.due = now + record.due - self._wall
                self._deliveries.hold(part)
            else:
                self._deliveries.restore(part, now)
            return
        agent = self._roster.get(record.agent or "")
        if agent is None or agent.incarnation != record.incarnation:
            # An agent leaves in the same transaction as its parts; but its
            # record may not be readable.
            self._log.error("The agent of part {part} is not known.", part=part.number)
            self._orphans.append(part)
            return
        attempt = part.attempt = Attempt(part, made, agent, now, sent=now, left=True)
        # Agents begin in the order in which they were given parts.
        attempt.prefetched = len(agent.held) >= agent.slots
        if job.run_limit is not None and not attempt.prefetched:
            attempt.run_until = now + job.run_limit
        agent.held[attempt.key] = attempt
        self._deliveries.watch(part, now)
        if part.cancelling:
            self._deliveries.stop(attempt)

    def _orphan(self, part: Part) -> None:
        if part.cancelling:
            self._verdicts.end(part, Verdict.CANCELLED, None)
        elif self._retries.pause(part, Verdict.LOST) is None:
            self._verdicts.end(part, Verdict.LOST, "Its agent is not known any more.")
        else:
            part.state = PartState.QUEUED
            self._journal.append(PartQueued(part.number))
            self._deliveries.enqueue(part)
