# -*- test-case-name: tests.broker.test_commands -*-
"""
C{PING}, C{LIST} and C{STATS}: the broker itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from attrs import define
from msgspec import Meta

from jobroute.broker.commands.base import Command, Properties
from jobroute.broker.roster import Roster
from jobroute.broker.services import Service, Services
from jobroute.interfaces import Caller, IClock, IHeartbeat, IReplyTo, IStorage
from jobroute.model import Frames


class PingProperties(Properties, kw_only=True):
    """
    Whether the answer lists the agents.
    """

    agents: Annotated[bool, Meta(description="list the agents as well")] = True


@define(eq=False, repr=False)
class ListAgents(Command):
    """
    List the agents.
    """

    name = "LIST"

    _roster: Roster
    _heartbeat: IHeartbeat
    _clock: IClock

    def execute(
        self, properties: Properties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        return self.listing()

    def listing(self) -> dict[str, Any]:
        """
        The agents by name, but none that a crash could make unknown.
        """
        now = self._clock.monotonic()
        return {
            agent.name: agent.describe(self._heartbeat.silence(agent, now))
            for agent in self._roster
            if agent.stored
        }


@define(eq=False, repr=False)
class Ping(Command):
    """
    Say that the broker lives, and where its sockets are.
    """

    name = "PING"
    properties = PingProperties

    _about: Callable[[], dict[str, Any]]
    _agents: ListAgents

    def execute(
        self, properties: PingProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        said = self._about()
        if properties.agents:
            said["agents"] = self._agents.listing()
        return said


@define(eq=False, repr=False)
class Stats(Command):
    """
    Tell every counter, the queues, and how much is stored.
    """

    name = "STATS"

    _counters: dict[str, int]
    _services: Services
    _gauges: Callable[[], dict[str, int]]
    _storage: IStorage

    def execute(
        self, properties: Properties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        said: dict[str, Any] = {
            "counters": dict(self._counters),
            "gauges": self._gauges(),
            "services": {service.name: _queue(service) for service in self._services},
        }
        return self._storage.statistics().addCallback(lambda stored: {**said, "storage": stored})


def _queue(service: Service) -> dict[str, Any]:
    part = service.next()
    job = None if part is None else part.job
    return {
        "queued": service.queued,
        "waiting": service.waiting,
        "agents": len(service.agents),
        "paused": service.paused,
        "next": job
        and {"job": job.id, "namespace": job.namespace, "submitted": round(job.submitted, 3)},
    }
