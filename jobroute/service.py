# -*- test-case-name: tests.test_service -*-
"""
The broker as a Twisted service: built from its settings, started and stopped
in order.

This is the one place that knows concrete classes.  Nothing of ZeroMQ exists
before the service is started, since libzmq's threads do not survive the fork
of a daemon.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
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
from jobroute.lock import DataDirectory
from jobroute.log import Logger
from jobroute.sockets import Sockets
from jobroute.storage import storage_named

#: Seconds between two looks at what is due.
TICK = 0.1

#: Seconds between two looks at whether a drain is over.
DRAIN_POLL = 0.02


@define(eq=False)
class _Life:
    """
    What exists from one start to one stop.
    """

    broker: Broker
    sockets: Sockets
    storage: IStorage
    loops: list[LoopingCall] = field(factory=list)


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
        self._directory = DataDirectory(settings.data_dir) if directory is None else directory
        self._life: _Life | None = None
        self._ready: list[Deferred[None]] = []
        self._stopped: list[Deferred[None]] = []
        self._outcome: Failure | bool | None = None
        self._hurry = False
        self._began = 0.0

    # -- Public face ---------------------------------------------------------

    def whenReady(self) -> Deferred[None]:
        """
        Fires when clients are served; fails if the start fails.
        """
        return self._when(self._ready, self._outcome)

    def whenStopped(self) -> Deferred[None]:
        """
        Fires when everything is closed; fails if the broker had to end.
        """
        waiting: Deferred[None] = Deferred()
        self._stopped.append(waiting)
        return waiting

    @staticmethod
    def _when(waiting: list[Deferred[None]], outcome: Failure | bool | None) -> Deferred[None]:
        deferred: Deferred[None] = Deferred()
        if outcome is None:
            waiting.append(deferred)
        elif isinstance(outcome, Failure):
            deferred.errback(outcome)
        else:
            deferred.callback(None)
        return deferred

    @property
    def endpoints(self) -> dict[str, str]:
        """
        Where each socket can be reached, once they are bound.
        """
        if self._life is None:
            return {}
        return self._life.sockets.endpoints()

    @property
    def broker(self) -> Broker:
        """
        The parts of the running broker, for those who embed it.

        @raise JobrouteError: if it was not started.
        """
        if self._life is None:
            raise JobrouteError("The broker is not running.")
        return self._life.broker

    def stopNow(self) -> None:
        """
        Let a stop that is under way wait for nothing.
        """
        self._hurry = True

    # -- Starting ------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Lock the data directory and bind the sockets, while privileges last.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._bind_or_fail()

    def startService(self) -> None:
        """
        Bind, if that was not done; open the store, recover, then read.
        """
        super().startService()  # type: ignore[no-untyped-call]
        if self._life is None and not isinstance(self._outcome, Failure):
            self._bind_or_fail()
        if self._life is not None:
            started = Deferred.fromCoroutine(self._start(self._life))
            started.addErrback(self._start_failed)

    def _bind_or_fail(self) -> None:
        self._outcome = None
        self._hurry = False
        try:
            self._bind()
        except JobrouteError:
            self._start_failed(Failure())

    def _bind(self) -> None:
        self._directory.acquire()
        network = self._given_network
        if network is None:
            network = namedAny("jobroute.zeromq.network.TxNetwork")(
                self._reactor, self.settings.io_threads
            )
        storage = self._given_storage
        if storage is None:
            storage = storage_named(
                self.settings.storage, self.settings, self._reactor, self._clock
            )
        broker = assemble(
            self.settings,
            self._reactor,
            self._clock,
            storage,
            self._about,
            heartbeat=self._heartbeat,
            controller=self._controller,
            policy=self._policy,
            observers=self._observers,
        )
        sockets = Sockets(self.settings, self._directory, network)
        self._life = _Life(broker, sockets, storage)
        sockets.bind(broker.protocols)

    async def _start(self, life: _Life) -> None:
        self._directory.sign(os.getpid())
        self._began = self._clock.wall()
        broker = life.broker
        restored = await life.storage.open(broker.journal.committed, self._trouble)
        broker.begin(restored)
        await broker.granted()
        life.sockets.resume()
        self._loop(life, TICK, broker.tick)
        if "heartbeat" in life.sockets:
            self._loop(life, self.settings.heartbeat_interval, broker.beat)
        self._log.info(
            "Broker {version} serves epoch {epoch} at {frontend}.",
            version=__version__,
            epoch=restored.epoch,
            frontend=self.endpoints.get("frontend", ""),
        )
        self._fire(self._ready, True)

    def _loop(self, life: _Life, interval: float, function: Any) -> None:
        def survive() -> None:
            # A looping call that meets an exception never loops again.
            try:
                function()
            except Exception:
                self._log.failure("Housekeeping failed; it goes on.")

        loop = LoopingCall(survive)
        loop.clock = self._reactor
        life.loops.append(loop)
        loop.start(interval).addErrback(lambda f: self._log.failure("A loop ended.", f))

    def _start_failed(self, failure: Failure) -> None:
        if failure.check(JobrouteError):
            self._log.critical("The broker cannot start: {reason}", reason=str(failure.value))
        else:
            self._log.failure("The broker cannot start.", failure)
        closed = Deferred.fromCoroutine(self._close())
        closed.addErrback(lambda f: self._log.failure("What was open was not closed.", f))
        self._fire(self._ready, failure)

    def _fire(self, waiting: list[Deferred[None]], outcome: Failure | bool) -> None:
        self._outcome = outcome
        fired, waiting[:] = waiting[:], []
        for deferred in fired:
            if isinstance(outcome, Failure):
                deferred.errback(outcome)
            else:
                deferred.callback(None)
        if isinstance(outcome, Failure):
            self.ended(outcome)

    def ended(self, failure: Failure) -> None:
        """
        The broker could not start, or has to end.  A process of its own ends
        with it; whoever embeds it is told by L{whenReady} and
        L{whenStopped}.
        """

    def _trouble(self, error: StorageError | None) -> None:
        life = self._life
        if life is None:
            return
        if error is None:
            self._log.info("The storage writes again.")
        elif isinstance(error, StorageLost):
            self._log.critical("The broker has to end: {reason}", reason=str(error))
        else:
            self._log.error("The storage cannot write: {reason}", reason=str(error))
        life.broker.admission.trouble = error
        if isinstance(error, StorageLost):
            self._hurry = True
            failure = Failure(error)
            stopping = Deferred.fromCoroutine(self._stop(failure))
            stopping.addErrback(lambda f: self._log.failure("The stop failed.", f))

    # -- Stopping ------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """
        Take nothing new, wait for calls and the disk, tell the agents, close
        the sockets, close the store.  Never fails.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        stopped = Deferred.fromCoroutine(self._stop(None))
        return stopped.addErrback(lambda f: self._log.failure("The stop failed.", f))

    async def _stop(self, reason: Failure | None) -> None:
        life = self._life
        if life is not None:
            broker = life.broker
            broker.admission.stopping = True
            await self._drain(broker)
            for loop in life.loops:
                if loop.running:
                    loop.stop()
            broker.farewell()
            await self._close()
        self._outcome = None
        fired, self._stopped = self._stopped, []
        for deferred in fired:
            if reason is None:
                deferred.callback(None)
            else:
                deferred.errback(reason)
        if reason is not None:
            self.ended(reason)

    async def _drain(self, broker: Broker) -> None:
        until = self._clock.monotonic() + self.settings.drain
        while not self._hurry and self._clock.monotonic() < until and not broker.idle:
            await deferLater(self._reactor, DRAIN_POLL)

    async def _close(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            await life.sockets.close()
            life.broker.journal.end()
            if self._given_network is None:
                await life.sockets.network.close()
            await life.storage.close()
        self._directory.release()

    # -- About ---------------------------------------------------------------

    def _about(self) -> dict[str, Any]:
        assert self._life is not None
        return {
            "pid": os.getpid(),
            "version": __version__,
            "protocol": 1,
            "epoch": self._life.broker.agents.epoch,
            "started": self._began,
            "endpoints": self.endpoints,
        }
