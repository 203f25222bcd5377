# -*- test-case-name: tests.service.test_service -*-
"""
The broker as a Twisted service: built from its settings, started and stopped
in order.

This module and L{jobroute.assembly}, which makes and joins the parts of the
broker, are the one place that knows concrete classes: here are the clock, the
network, the storage, the data directory and the sockets.  Nothing of ZeroMQ
exists before the service is started, since libzmq's threads do not survive the
fork of a daemon.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny

from jobroute import __version__
from jobroute.assembly import Broker, assemble
from jobroute.broker.routing import LeastLoaded
from jobroute.clock import SystemClock
from jobroute.config import Settings
from jobroute.errors import JobrouteError, StorageError, StorageLost
from jobroute.interfaces import (
    IClock,
    IController,
    IHeartbeat,
    INetwork,
    IObserver,
    IPolicy,
    IStorage,
)
from jobroute.life import Life, fire, then
from jobroute.lock import DataDirectory
from jobroute.log import Logger
from jobroute.sockets import Sockets
from jobroute.storage import storage_named

#: Seconds between two looks at what is due.
TICK = 0.1

#: Seconds between two looks at whether a drain is over.
DRAIN_POLL = 0.02


class BrokerService(Service):
    """
    A broker in any L{twisted.application.service.MultiService}.  It can be
    stopped, and started again.

    @ivar settings: what L{jobroute.config.load} made.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        reactor: Any = None,
        *,
        network: INetwork | None = None,
        clock: IClock | None = None,
        storage: IStorage | None = None,
        heartbeat: IHeartbeat | None = None,
        controller: IController | None = None,
        policy: Callable[[], IPolicy] = LeastLoaded,
        observers: Sequence[IObserver] = (),
        directory: DataDirectory | None = None,
        random: Random | None = None,
    ) -> None:
        """
        @param reactor: the global one if L{None}.
        @param network: ZeroMQ's if L{None}.
        @param storage: the one that the settings name if L{None}.
        @param heartbeat: watches agents; our own if L{None}.
        @param controller: executes commands; our own if L{None}.
        @param policy: makes what picks agents, one for each service.
        @param observers: told every event.
        @param directory: the data directory; the one that the settings name
            if L{None}.
        @param random: for the jitter of pauses; the system's if L{None}.
        """
        if reactor is None:
            # Not before somebody wants one, so that others can choose it.
            reactor = namedAny("twisted.internet.reactor")
        self.settings = settings
        self._reactor = reactor
        self._given_network = network
        self._clock = SystemClock() if clock is None else clock
        self._given_storage = storage
        self._heartbeat = heartbeat
        self._controller = controller
        self._policy = policy
        self._observers = tuple(observers)
        self._random = random
        if directory is None:
            directory = DataDirectory(settings.data_dir, settings.insecure)
        self._directory = directory
        self._life: Life | None = None
        self._ready: list[Deferred[None]] = []
        self._stopped: list[Deferred[None]] = []
        self._outcome: Failure | bool | None = None
        self._refused = False

    # -- Public face ---------------------------------------------------------

    def whenReady(self) -> Deferred[None]:
        """
        Fires when clients are served; fails if the start fails, when what it
        opened is closed, or if there is a stop before.
        """
        deferred: Deferred[None] = Deferred()
        life = self._life
        if self._outcome is not None:
            fire([deferred], self._outcome)
        elif life is not None and life.ending and not life.served and not self.running:
            life.ready.append(deferred)
        else:
            self._ready.append(deferred)
        return deferred

    def whenStopped(self) -> Deferred[None]:
        """
        Fires when everything is closed; fails if the broker could not start,
        or had to end.
        """
        waiting: Deferred[None] = Deferred()
        self._stopped.append(waiting)
        return waiting

    @property
    def endpoints(self) -> dict[str, str]:
        """
        Where each socket can be reached, once they are bound.
        """
        life = self._life
        return {} if life is None or life.sockets is None else life.sockets.endpoints()

    @property
    def broker(self) -> Broker:
        """
        The parts of the running broker, for those who embed it.

        @raise JobrouteError: if it was not started.
        """
        if self._life is None or self._life.broker is None:
            raise JobrouteError("The broker is not running.")
        return self._life.broker

    def stopNow(self) -> None:
        """
        Let a stop that is under way wait for nothing.
        """
        if self._life is not None:
            self._life.hurry = True

    # -- Starting ------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Lock the data directory and bind the sockets, while privileges last.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if self._life is None:
            self._refused = not self._bind()

    def startService(self) -> None:
        """
        Bind, if that was not done; open the store, recover, then read.  What
        is being closed is closed before.
        """
        refused, self._refused = self._refused, False
        if refused:
            # This start has failed already; the next one tries again.
            return
        super().startService()  # type: ignore[no-untyped-call]
        life = self._life
        if life is not None and life.ending:
            self._outcome = None
        elif life is not None or self._bind():
            self._open()

    def _bind(self) -> bool:
        self._outcome = None
        life = self._life = Life()
        try:
            self._make(life)
        except Exception:
            self._failed(life, Failure())
            return False
        return True

    def _make(self, life: Life) -> None:
        self._directory.acquire()
        life.undo.append(("The data directory was not given back", self._directory.release))
        storage = self._given_storage
        if storage is None:
            storage = storage_named(
                self.settings.storage, self.settings, self._reactor, self._clock
            )
        life.storage = storage
        life.undo.append(("The store was not closed well", storage.close))
        network = self._given_network
        if network is None:
            network = namedAny("jobroute.zeromq.network.TxNetwork")(
                self._reactor, self.settings.io_threads
            )
            life.undo.append(("The network was not closed", network.close))
        broker = life.broker = assemble(
            self.settings,
            self._reactor,
            self._clock,
            storage,
            partial(self._about, life),
            heartbeat=self._heartbeat,
            controller=self._controller,
            policy=self._policy,
            observers=self._observers,
            random=self._random,
        )
        life.undo.append(("The journal was not ended", broker.journal.end))
        sockets = life.sockets = Sockets(self.settings, self._directory, network)
        life.undo.append(("The sockets were not closed", sockets.close))
        sockets.bind(broker.protocols)

    def _open(self) -> None:
        life = self._life
        if life is None or life.started:
            return
        life.started = True

        def opened(result: Any) -> None:
            # A start that was stopped may fail because of that.
            if isinstance(result, Failure) and not life.ending:
                self._failed(life, result)

        then(Deferred.fromCoroutine(self._start(life)), opened)

    async def _start(self, life: Life) -> None:
        broker, sockets, storage = life.broker, life.sockets, life.storage
        assert broker is not None and sockets is not None and storage is not None
        self._directory.sign(os.getpid())
        life.began = self._clock.wall()
        restored = await storage.open(broker.journal.committed, partial(self._trouble, life))
        # Once is enough, however often it is started.
        self.settings = evolve(self.settings, no_restore=False)
        if life.ending:
            return
        broker.begin(restored)
        await broker.granted()
        if life.ending:
            return
        sockets.resume()
        life.undo.append(("The agents were not told", broker.farewell))
        life.undo.append(("The housekeeping goes on", life.halt))
        life.undo.append(("The drain ended early", partial(self._drain, life, broker)))
        life.loop(self._reactor, TICK, broker.tick)
        if "heartbeat" in sockets:
            life.loop(self._reactor, self.settings.heartbeat_interval, broker.beat)
        self._log.info(
            "Broker {version} serves epoch {epoch} at {frontend}.",
            version=__version__,
            epoch=restored.epoch,
            frontend=self.endpoints.get("frontend", ""),
        )
        life.served = True
        self._outcome = True
        ready, self._ready = self._ready, []
        fire(ready, True)

    def _failed(self, life: Life, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, OSError):
            what = error.filename or "the operating system says"
            why = error.strerror or error
            failure = Failure(JobrouteError(f"The start failed: {what}: {why}."))
        if failure.check(JobrouteError):
            self._log.critical("The broker cannot start: {reason}", reason=str(failure.value))
        else:
            self._log.failure("The broker cannot start.", failure)
        life.hurry = True
        self._end(life, failure)

    def ended(self, failure: Failure) -> None:
        """
        The broker could not start, or has to end.  A process of its own ends
        with it; whoever embeds it is told by L{whenReady} and
        L{whenStopped}.
        """

    def _trouble(self, life: Life, error: StorageError | None) -> None:
        if life is not self._life or life.broker is None:
            return
        life.broker.admission.trouble = error
        if error is None:
            self._log.info("The storage writes again.")
        elif isinstance(error, StorageLost):
            self._log.critical("The broker has to end: {reason}", reason=str(error))
            life.hurry = True
            self._end(life, Failure(error))
        else:
            self._log.error("The storage cannot write: {reason}", reason=str(error))

    # -- Stopping ------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """
        Take nothing new, wait for calls and the disk, tell the agents, close
        the sockets, close the store.  Never fails; all who stop it are told
        when it is done.
        """
        wanted = self.running
        super().stopService()  # type: ignore[no-untyped-call]
        self._refused = False
        done: Deferred[None] = Deferred()
        life = self._life
        if life is None:
            self._outcome = None
            stopped, self._stopped = self._stopped, []
            fire([*stopped, done], True)
            return done
        life.stops.append(done)
        if life.ending and wanted:
            # Somebody started it meanwhile, and that will not be.
            life.ready += self._ready
            self._ready = []
        self._end(life, None)
        return done

    def _end(self, life: Life, reason: Failure | None) -> None:
        """
        Close everything, once, however many want it.
        """
        life.reason = life.reason or reason
        if life.ending:
            return
        life.ending = True
        self.running = 0
        self._outcome = None
        if not life.served:
            life.ready, self._ready = self._ready, []
        then(Deferred.fromCoroutine(life.close()), lambda _: self._over(life))

    def _over(self, life: Life) -> None:
        self._life = None
        reason = life.reason
        if not life.served and reason is not None and not self.running:
            self._outcome = reason
        never = reason or Failure(JobrouteError("The broker was stopped before it served."))
        stopped, self._stopped = self._stopped, []
        fire(life.ready, never)
        fire(stopped, reason or True)
        fire(life.stops, True)
        if reason is not None:
            self.ended(reason)
        if self.running and self._life is None and self._bind():
            self._open()

    async def _drain(self, life: Life, broker: Broker) -> None:
        broker.admission.stopping = True
        until = self._clock.monotonic() + self.settings.drain
        while not life.hurry and self._clock.monotonic() < until and not broker.idle:
            await deferLater(self._reactor, DRAIN_POLL)

    # -- About ---------------------------------------------------------------

    def _about(self, life: Life) -> dict[str, Any]:
        assert life.broker is not None and life.sockets is not None
        return {
            "pid": os.getpid(),
            "version": __version__,
            "protocol": 1,
            "epoch": life.broker.agents.epoch,
            "started": life.began,
            "endpoints": life.sockets.endpoints(),
        }
