# -*- test-case-name: tests.broker.test_admission -*-
"""
What is accepted: limits, and who a target means.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, cast

import msgspec
from attrs import define, field

from jobroute.broker.clients import Clients
from jobroute.broker.journal import Journal
from jobroute.broker.pace import Paces
from jobroute.broker.roster import Agent, Roster
from jobroute.broker.services import Services
from jobroute.config import Limits
from jobroute.errors import (
    Busy,
    NoSuchAgent,
    NotEnoughAgents,
    Stopping,
    StorageError,
    StorageUnavailable,
)
from jobroute.model import JobRequest

_encode = msgspec.json.Encoder(order="sorted").encode


def digest(request: JobRequest) -> bytes:
    """
    What makes a job that job: the same id with another digest is another
    job.
    """
    r = request
    said: tuple[Any, ...] = (
        r.service,
        r.target.names,
        r.target.count,
        r.priority,
        r.attempts,
        r.limits.queue,
        r.limits.run,
        r.limits.deadline,
        [len(frame) for frame in r.payload],
    )
    if r.retry is not None or r.max_lost is not None or r.origin is not None:
        # Only then, so that jobs of earlier versions stay what they were.
        said += (r.retry, r.max_lost, None if r.origin is None else r.origin.job)
    hash = blake2b(_encode(said), digest_size=16)
    hash.update(r.header)
    for frame in r.payload:
        hash.update(frame)
    return hash.digest()


@define(eq=False, repr=False)
class Admission:
    """
    Refuses what is over a limit, before anything is changed by it.

    @ivar stopping: the broker takes nothing new.
    @ivar trouble: why the storage cannot write, if it can't.
    """

    _limits: Limits
    _roster: Roster
    _services: Services
    _clients: Clients
    _journal: Journal
    _paces: Paces
    stopping: bool = field(default=False, init=False)
    trouble: StorageError | None = field(default=None, init=False)

    def check(self, request: JobRequest, parts: int, volatile: bool) -> None:
        """
        Make sure that there is room for a job.

        @raise Busy: if there is none; its subclasses say why.
        """
        if self.stopping:
            raise Stopping("The broker is stopping; try again later.", self._paces.outage())
        if not volatile:
            if self.trouble is not None:
                raise StorageUnavailable(
                    f"Nothing new is accepted while the storage cannot write: {self.trouble}",
                    self._paces.outage(),
                )
            if self._journal.backlog > self._limits.journal:
                raise StorageUnavailable(
                    "The storage does not keep up; try again later.", self._paces.disk()
                )
        service = self._services.get(request.service)
        if service is None:
            if len(self._services) >= self._limits.services:
                raise Busy(f"There are {len(self._services)} services, and that is the limit.")
        queued = 0 if service is None else service.queued + service.waiting
        if queued + parts > self._limits.queued_parts:
            raise Busy(
                f"The queue of {request.service} has {queued} parts, {parts} would follow, and "
                f"{self._limits.queued_parts} is the limit; try again later.",
                None if service is None else self._paces.queue(service, parts),
            )
        try:
            self._clients.check(request.client)
        except Busy as e:
            e.retry_after = self._paces.jobs()
            raise

    def resolve(self, request: JobRequest) -> list[tuple[str, ...] | None]:
        """
        The agents that may do each part of a job.

        @raise NoSuchAgent: if the target names one that is not there.
        @raise NotEnoughAgents: if there are fewer than asked for.
        """
        target = request.target
        names = target.names
        if names is not None:
            for name in names:
                if self._roster.get(name) is None:
                    raise NoSuchAgent(f"There is no agent {name}.")
        if target.count == 1:
            return [names]
        if target.count is None and names is not None:
            return [(name,) for name in names]
        service = self._services.get(request.service)
        offering = [] if service is None else list(service.agents.values())
        wanted = None if names is None else set(names)
        chosen = [a for a in offering if not a.draining and (wanted is None or a.name in wanted)]
        if target.count is None:
            if not chosen:
                raise NotEnoughAgents(f"No agent offers the service {request.service}.")
            return [(agent.name,) for agent in chosen]
        if len(chosen) < target.count:
            raise NotEnoughAgents(
                f"{target.count} agents are asked for, and {len(chosen)} offer the service "
                f"{request.service}."
            )
        assert service is not None
        # Ready ones first: a suspect may never come back.
        ready = service.policy.best((a for a in chosen if a.ready), target.count)
        rest = [a for a in chosen if not a.ready][: target.count - len(ready)]
        return [(agent.name,) for agent in cast(list[Agent], [*ready, *rest])]
