# -*- test-case-name: tests.broker.test_deliveries -*-
"""
Parts to agents: queued, given, taken back.
"""

from __future__ import annotations

from math import inf

from attrs import define, field
from twisted.python.failure import Failure

from jobroute.broker.contents import Contents
from jobroute.broker.events import Events
from jobroute.broker.journal import Journal
from jobroute.broker.parts import Attempt, Part
from jobroute.broker.roster import Agent, Roster
from jobroute.broker.routing import all_refused, route
from jobroute.broker.services import Line, Services
from jobroute.broker.timers import Timers
from jobroute.broker.verdicts import Verdicts
from jobroute.errors import Busy
from jobroute.interfaces import Delivery, IClock
from jobroute.log import Logger
from jobroute.model import (
    AttemptMade,
    Frames,
    PartState,
    Verdict,
)

#: How many inputs may wait for a delivery.
INPUTS = 100


@define(eq=False, repr=False)
class Deliveries:
    """
    Every attempt takes a slot of its agent from the moment that it is made
    until the agent answers it, lets go of it, or is gone.
    """

    _log = Logger()

    _clock: IClock
    _contents: Contents
    _journal: Journal
    _events: Events
    _roster: Roster
    _services: Services
    _timers: Timers
    _verdicts: Verdicts
    _counters: dict[str, int]
    _stopping: dict[Attempt, None] = field(factory=dict, init=False)
    _used: int = field(default=0, init=False)

    def place(self, part: Part, first: bool = False) -> None:
        """
        Give a part to an agent, or let it wait.
        """
        service = self._services.need(part.job.service)
        agent = route(part, service, self._roster)
        if agent is not None:
            self._assign(part, agent)
            return
        self.enqueue(part, first)

    def enqueue(self, part: Part, first: bool = False) -> None:
        """
        Let a part wait, as its client's last or first.
        """
        self._services.need(part.job.service).push(part, first)
        self.watch(part, self._clock.monotonic())

    def restore(self, part: Part, now: float) -> None:
        """
        Let a part wait again, after a restart.
        """
        job = part.job
        self._services.need(job.service).push(part)
        until = part.queue_until
        self._timers.set(part, job.expires if job.expires < until else until, now)

    def hold(self, part: Part) -> None:
        """
        Let a part wait for the moment at which it is due.
        """
        self._services.need(part.job.service).waiting += 1
        self.watch(part, self._clock.monotonic())

    def resume(self, part: Part) -> None:
        """
        A part is due again.
        """
        service = self._services.need(part.job.service)
        service.waiting -= 1
        part.due = None
        if part.refused and all_refused(part, service):
            self._services.tidy(service)
            self._verdicts.end(part, Verdict.REFUSED, "Every agent that fits refused it.")
            return
        self.place(part, first=True)

    def offer(self, agent: Agent) -> None:
        """
        Give an agent with credit what waits for it.
        """
        while agent.capacity > len(agent.held) and agent.ready:
            best: Line | None = None
            chosen = None
            for service in agent.services:
                some = service.queued and not service.paused
                line = service.line(agent.name) if some else None
                if line is not None and (best is None or line.rank < best.rank):
                    best, chosen = line, service
            if best is None or chosen is None:
                return
            self._assign(chosen.pop(best), agent)

    def _assign(self, part: Part, agent: Agent) -> None:
        now = self._clock.monotonic()
        job = part.job
        part.made += 1
        part.state = PartState.RUNNING
        part.partials = 0
        part.agent = agent.name
        attempt = part.attempt = Attempt(part, part.made, agent, now)
        agent.held[part.number, part.made] = attempt
        self._used += 1
        agent.used = self._used
        attempt.prefetched = len(agent.held) > agent.slots
        self.watch(part, now)
        self._counters["deliveries"] += 1
        if job.volatile:
            self.deliver(attempt)
            return
        self._journal.append(
            AttemptMade(part.number, part.made, agent.name, agent.incarnation, self._clock.wall())
        )
        self._events.record("part.delivered", job.number, part.number, part.made, agent.name)
        self._journal.park(self.deliver, attempt)

    def watch(self, part: Part, now: float) -> None:
        """
        Set the part's timer to the first limit that it can reach.
        """
        when = part.job.expires
        if part.attempt is not None:
            when = min(when, part.attempt.run_until)
        else:
            when = min(when, part.queue_until)
            if part.due is not None:
                when = min(when, part.due)
        self._timers.set(part, when, now)

    def deliver(self, attempt: Attempt) -> None:
        """
        Send an attempt to its agent, if it still counts.
        """
        job = attempt.part.job
        if not attempt.current or attempt.stopping or attempt.agent.gone:
            return
        if job.payload is not None and job.header is not None:
            self._send(attempt, job.header, job.payload)
            return
        self._contents.fetch(
            job.number,
            lambda content: self._send(attempt, content.header, content.payload),
            lambda failure: self._unreadable(failure, attempt),
        )

    def _send(self, attempt: Attempt, header: bytes, payload: Frames) -> None:
        part, job = attempt.part, attempt.part.job
        if not attempt.current or attempt.stopping:
            return
        now = attempt.sent = self._clock.monotonic()
        if not attempt.prefetched:
            self._run(attempt, now)
        left = attempt.agent.route.deliver(
            Delivery(
                part.number,
                attempt.number,
                job.id,
                part.index,
                job.service,
                header,
                job.run_limit,
                job.volatile,
                payload,
            )
        )
        if left and not attempt.left:
            # The lease begins now, however long the disk took.
            attempt.left, attempt.renewed = True, now
        inputs, attempt.inputs = attempt.inputs, []
        for frames in inputs:
            attempt.agent.route.input(*attempt.key, frames)

    def _unreadable(self, failure: Failure, attempt: Attempt) -> None:
        if attempt.current:
            self._verdicts.end(
                attempt.part, Verdict.FAILED, f"Its payload cannot be read: {failure.value}"
            )
            self.release(attempt)
            self._journal.flush()

    def started(self, attempt: Attempt) -> None:
        """
        Work on a prefetched attempt began only now.
        """
        attempt.prefetched = False
        self._run(attempt, self._clock.monotonic())

    def _run(self, attempt: Attempt, now: float) -> None:
        """
        Let the run limit count, if it does not yet.
        """
        limit = attempt.part.job.run_limit
        if limit is not None and attempt.run_until == inf:
            attempt.run_until = now + limit
            self.watch(attempt.part, now)

    def input(self, attempt: Attempt, payload: Frames) -> None:
        """
        Send an input behind the delivery, which may still wait for its
        commit or its payload.

        @raise Busy: if too many wait for that.
        """
        if attempt.sent != inf:
            attempt.agent.route.input(*attempt.key, payload)
        elif len(attempt.inputs) >= INPUTS:
            raise Busy(f"{INPUTS} inputs wait for the part to be delivered; try again later.")
        else:
            attempt.inputs.append(payload)

    def release(self, attempt: Attempt) -> None:
        """
        An agent has a slot back.
        """
        agent = attempt.agent
        if agent.held.pop(attempt.key, None) is None:
            return
        if attempt.stopping:
            self._stopping.pop(attempt, None)
        if agent.gone:
            return
        for service in agent.services:
            service.policy.changed(agent)
        self.offer(agent)

    def stop(self, attempt: Attempt) -> None:
        """
        Ask the agent to stop an attempt, until it confirms.
        """
        if attempt.stopping:
            return
        attempt.stopping = True
        if attempt.part.job.volatile:
            self._stop(attempt)
        else:
            # Not before it is on disk that it was to be.
            self._journal.park(self._stop, attempt)

    def _stop(self, attempt: Attempt) -> None:
        if attempt.key in attempt.agent.held:
            self._stopping[attempt] = None
            self._ask(attempt)

    def _ask(self, attempt: Attempt) -> None:
        if attempt.lingering:
            return
        if attempt.sent == inf:
            # It was never sent, and will not be.
            if attempt.current:
                self._verdicts.end(attempt.part, Verdict.CANCELLED, None)
            self.release(attempt)
            self._journal.flush()
        else:
            attempt.agent.route.cancel(attempt.part.number, attempt.number)

    def ask_again(self) -> None:
        """
        Ask for each attempt that was to stop and is not confirmed.
        """
        for attempt in list(self._stopping):
            self._ask(attempt)

    def dequeue(self, part: Part) -> None:
        """
        Take a waiting part out of its queue.
        """
        service = self._services.need(part.job.service)
        if part.due is None:
            service.remove(part)
        else:
            service.waiting -= 1
            part.due = None
        self._services.tidy(service)
