# -*- test-case-name: tests.service.test_service -*-
"""
Every part of a broker, made and joined; no logic.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from random import Random, SystemRandom
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jobroute.broker.admission import Admission
from jobroute.broker.agents import Agents
from jobroute.broker.clients import Clients
from jobroute.broker.commands.again import (
    Quarantine,
    QuarantineDrop,
    QuarantineRetry,
    Resubmission,
    RetryCommand,
)
from jobroute.broker.commands.base import Registry
from jobroute.broker.commands.batches import SubmitMany
from jobroute.broker.commands.following import Cancel, Input, Result, WaitCommand
from jobroute.broker.commands.history import JobHistoryCommand, Jobs, Why
from jobroute.broker.commands.jobs import Call, Submit
from jobroute.broker.commands.operating import Drain, Pause, Resume
from jobroute.broker.commands.status import ListAgents, Ping, Stats
from jobroute.broker.contents import Contents
from jobroute.broker.controller import Controller
from jobroute.broker.counters import counters as all_counters
from jobroute.broker.deliveries import Deliveries
from jobroute.broker.dispatcher import Dispatcher
from jobroute.broker.endings import Endings
from jobroute.broker.events import Events
from jobroute.broker.finder import Finder
from jobroute.broker.heartbeat import Heartbeat
from jobroute.broker.journal import Journal
from jobroute.broker.numbers import Numbers
from jobroute.broker.pace import Paces
from jobroute.broker.pauses import Pauses
from jobroute.broker.payloads import Payloads
from jobroute.broker.reads import Reads
from jobroute.broker.recovery import Recovery
from jobroute.broker.retries import Retries
from jobroute.broker.roster import Roster
from jobroute.broker.routing import LeastLoaded
from jobroute.broker.services import Services
from jobroute.broker.submissions import Submissions
from jobroute.broker.timers import Timers
from jobroute.broker.verdicts import Verdicts
from jobroute.config import Settings
from jobroute.interfaces import (
    IClock,
    IController,
    IHeartbeat,
    IMessageProtocol,
    IObserver,
    IPolicy,
    IStorage,
)
from jobroute.model import Restored, Verdict
from jobroute.protocols.backend import BackendProtocol
from jobroute.protocols.frontend import FrontendProtocol
from jobroute.protocols.heartbeat import HeartbeatProtocol
from jobroute.protocols.register import RegisterProtocol
from jobroute.protocols.turns import RATE


@define(eq=False, repr=False)
class Broker:
    """
    The parts of a broker that its service has to do with.

    @ivar protocols: of each socket, by name.
    """

    journal: Journal
    numbers: Numbers
    events: Events
    admission: Admission
    verdicts: Verdicts
    dispatcher: Dispatcher
    agents: Agents
    roster: Roster
    services: Services
    counters: dict[str, int]
    controller: IController
    registry: Registry
    backend: BackendProtocol
    heartbeat: HeartbeatProtocol
    protocols: dict[str, IMessageProtocol]
    _recovery: Recovery = field(alias="recovery")

    def begin(self, restored: Restored) -> None:
        """
        Go on from what the store says.
        """
        self.agents.epoch = restored.epoch
        self.backend.epoch = restored.epoch
        self.heartbeat.epoch = restored.epoch
        self.events.number = restored.event
        self.numbers.begin(restored.numbers)
        self._recovery.restore(restored)
        self.events.record("broker.started", data={"epoch": restored.epoch})
        self.journal.flush()

    def granted(self) -> Deferred[None]:
        """
        Fires when all that was done until now is on disk.
        """
        done: Deferred[None] = Deferred()
        self.journal.park(done.callback, None)
        return done

    def tick(self) -> None:
        """
        Do what is due.
        """
        self.agents.tick()
        self.dispatcher.tick()

    def beat(self) -> None:
        """
        Say that the broker lives.
        """
        away = sum(agent.suspect for agent in self.roster)
        self.heartbeat.spread = round(away / RATE, 3)
        self.heartbeat.beat()

    @property
    def idle(self) -> bool:
        """
        Whether a stop would take nobody's answer away.
        """
        return not self.verdicts.open_calls and not self.journal.backlog

    def farewell(self) -> None:
        """
        Tell the agents, and the clients that wait, that the broker stops.
        """
        self.backend.farewell_wait = max(1.0, len(self.roster) / RATE)
        for agent in self.roster:
            agent.route.farewell()
        self.verdicts.abandon()

    def gauges(self) -> dict[str, int]:
        """
        What goes up and down.
        """
        return {
            "agents": len(self.roster),
            "registrations": len(self.agents.registration),
            "jobs": len(self.verdicts.jobs),
            "calls": self.verdicts.open_calls,
            "queued": sum(service.queued for service in self.services),
            "waiting": sum(service.waiting for service in self.services),
            "running": sum(agent.outstanding for agent in self.roster),
            "clients": len(self.verdicts.clients),
            "journal": self.journal.backlog,
            "epoch": self.agents.epoch,
        }


def assemble(
    settings: Settings,
    reactor: IReactorTime,
    clock: IClock,
    storage: IStorage,
    about: Callable[[], dict[str, Any]],
    *,
    heartbeat: IHeartbeat | None = None,
    controller: IController | None = None,
    policy: Callable[[], IPolicy] = LeastLoaded,
    observers: Sequence[IObserver] = (),
    random: Random | None = None,
) -> Broker:
    """
    Make a broker.

    @param about: what C{PING} says.
    @param random: for the jitter of pauses; by default the system's.
    """
    limits = settings.limits
    counters = all_counters()
    journal = Journal(storage.write)
    events = Events(journal, clock.wall, observers)
    numbers = Numbers(journal)
    roster, services = Roster(), Services(policy)
    clients, timers = Clients(limits), Timers()
    watch: IHeartbeat = heartbeat or Heartbeat(settings.heartbeat_interval, settings.liveness)
    chance = random or SystemRandom()
    verdict_names = [f"verdicts_{verdict.value}" for verdict in Verdict]
    paces = Paces(clock, chance, journal, lambda: sum(counters[name] for name in verdict_names))
    admission = Admission(limits, roster, services, clients, journal, paces)
    verdicts = Verdicts(
        limits,
        clock,
        storage,
        journal,
        events,
        timers,
        clients,
        counters,
        Payloads(limits.payload_cache),
    )
    retries = Retries(chance)
    contents = Contents(storage)
    deliveries = Deliveries(
        clock,
        contents,
        journal,
        events,
        roster,
        services,
        timers,
        verdicts,
        counters,
    )
    endings = Endings(
        clock,
        journal,
        events,
        services,
        deliveries,
        verdicts,
        counters,
        retries,
        settings.max_lost,
    )
    dispatcher = Dispatcher(
        settings,
        clock,
        journal,
        events,
        numbers,
        roster,
        services,
        timers,
        clients,
        admission,
        deliveries,
        endings,
        verdicts,
        counters,
    )
    agents = Agents(
        settings,
        clock,
        journal,
        events,
        numbers,
        roster,
        services,
        watch,
        deliveries,
        endings,
        verdicts,
        counters,
    )
    backend = BackendProtocol(reactor, limits, counters)
    backend.agents = agents
    backend.grace = settings.grace
    pauses = Pauses(limits, journal, events, roster, services, agents, deliveries)
    recovery = Recovery(
        settings,
        clock,
        roster,
        watch,
        clients,
        agents,
        deliveries,
        verdicts,
        journal,
        retries,
        pauses,
        backend.route,
    )
    registry = Registry()
    doer: IController = controller or Controller(registry, counters, paces)
    beats = HeartbeatProtocol(settings.heartbeat_interval, os.getpid())
    protocols: dict[str, IMessageProtocol] = {
        "frontend": FrontendProtocol(doer, reactor, limits, counters),
        "backend": backend,
        "register": RegisterProtocol(agents, backend.route, limits, counters),
        "heartbeat": beats,
    }
    broker = Broker(
        journal,
        numbers,
        events,
        admission,
        verdicts,
        dispatcher,
        agents,
        roster,
        services,
        counters,
        doer,
        registry,
        backend,
        beats,
        protocols,
        recovery,
    )
    submissions = Submissions(dispatcher, storage, journal, clients, limits, counters, paces)
    finder, reads = Finder(storage), Reads(limits)
    calls = verdicts.calls
    again = Resubmission(dispatcher, submissions, storage, finder)
    listing = ListAgents(roster, watch, clock)
    for command in (
        listing,
        Ping(about, listing),
        Stats(counters, services, broker.gauges, storage),
        Submit(submissions, limits),
        SubmitMany(submissions, services, limits),
        Call(dispatcher, calls, limits),
        WaitCommand(dispatcher, finder, calls, verdicts.recent, storage, reads, limits),
        Result(dispatcher, finder, storage, reads),
        Cancel(dispatcher, finder, calls, reads),
        Input(dispatcher, finder, journal, reads),
        RetryCommand(again, reads),
        Quarantine(storage, reads, limits),
        QuarantineRetry(again, reads),
        QuarantineDrop(dispatcher, storage, finder, journal, reads),
        Jobs(storage, reads, limits),
        JobHistoryCommand(storage, finder, reads),
        Why(dispatcher, finder, journal, reads),
        Drain(pauses, journal),
        Pause(pauses, journal),
        Resume(pauses, journal),
    ):
        registry.register(command)
    return broker
