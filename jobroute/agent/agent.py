# -*- test-case-name: tests.agent.test_agent -*-
"""
An agent as a Twisted service.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from random import Random, SystemRandom
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny

import jobroute
from jobroute.agent.announcement import check, default_name
from jobroute.agent.functions import Function, collect, describe, marked_name
from jobroute.agent.functions import service as mark_service
from jobroute.agent.incarnation import Incarnation
from jobroute.agent.performer import Pool
from jobroute.agent.places import Places
from jobroute.agent.processes import pooling
from jobroute.agent.threads import Threads
from jobroute.agent.waits import after, waiting
from jobroute.clock import SystemClock
from jobroute.config import Limits
from jobroute.errors import ConfigurationError, RegistrationRefused
from jobroute.interfaces import IClock, INetwork
from jobroute.log import Logger
from jobroute.model import Announcement

F = TypeVar("F", bound=Callable[..., Any])

#: Named and not imported: importing it installs a reactor.
_NETWORK = "jobroute.zeromq.network.TxNetwork"


class Agent(Service):
    """
    Takes jobs from a broker and answers them.

    It goes into any C{MultiService}, and can be stopped and started again;
    each start is a new incarnation of the same agent.

    @ivar agent_name: its name.
    @ivar unfinished: how many parts the latest stop left unfinished, or
        unacknowledged.
    """

    _log = Logger()

    def __init__(
        self,
        frontend_url: str,
        reactor: Any = None,
        network: INetwork | None = None,
        name: str | None = None,
        services: Mapping[str, Callable[..., Any] | str] | Iterable[Any] = (),
        slots: int | None = None,
        prefetch: int = 0,
        labels: Mapping[str, str] | None = None,
        clock: IClock | None = None,
        random: Random | None = None,
        drain: float = 10.0,
        settle: float = 5.0,
        patience: float = 30.0,
        stop_when_away: bool = False,
        limits: Limits | None = None,
        max_entries: int = 10_000,
        max_bytes: int = 1024 * 1024 * 1024,
        pool: Callable[[int, str], Pool] = Threads,
        processes: int | None = None,
        memory_limit: int | None = None,
        tasks_per_child: int | None = None,
        grace: float = 5.0,
        allow_command: bool = False,
    ) -> None:
        """
        @param frontend_url: where the broker's frontend is.
        @param reactor: the reactor, if it is not the default one.
        @param network: where sockets come from; libzmq if it is L{None}.
            One that is given is not closed.
        @param name: what it is called; by default as its machine.
        @param services: names and their functions, or C{module:callable}; or
            functions and modules of functions that are marked with
            L{jobroute.agent.service}.
        @param slots: how many parts it works on at a time; by default one
            for each of its processes, or else for each processor.
        @param prefetch: how many more it may be given.
        @param labels: what it says of itself.
        @param drain: for how many seconds a stop waits for the functions.
        @param settle: for how many seconds it then waits for the broker to
            acknowledge the results.
        @param patience: for how many seconds a name that another agent has
            is asked for again; it may be our own earlier life.
        @param stop_when_away: whether functions are stopped when the broker
            was away for so long that their parts may be given to others.
        @param max_entries: how many replies are kept for a broker that does
            not acknowledge them, before functions have to wait.
        @param max_bytes: how many bytes of them.
        @param processes: in how many processes functions run that would
            block the reactor; L{None}: in threads.
        @param memory_limit: how many bytes of memory each process may have.
        @param tasks_per_child: after how many parts a process is replaced.
        @param grace: how many seconds a process or program has to end,
            before it is killed.
        @param allow_command: whether it offers the service C{command}, which
            runs any program that a job names.
        @raise ConfigurationError: if one of these is wrong.
        """
        self._url = frontend_url
        self._reactor = reactor
        self._network = network
        self.agent_name = default_name(platform.node()) if name is None else name
        self._slots = (processes or os.cpu_count() or 1) if slots is None else slots
        self._prefetch = prefetch
        self._labels = dict(labels or {})
        self._clock = SystemClock() if clock is None else clock
        self._random = SystemRandom() if random is None else random
        self._drain = drain
        self._settle = settle
        self._patience = patience
        self._stop_when_away = stop_when_away
        self._limits = Limits() if limits is None else limits
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        asked = pooling(processes, memory_limit, tasks_per_child, grace)
        self._places = Places(
            asked, allow_command, grace, pool, self._limits, self._random, self._clock
        )
        self._functions = self._places.offer(collect(services))
        self.unfinished = 0
        self._own_network: INetwork | None = None
        self._incarnation: Incarnation | None = None
        self._registered = False
        self._ended: Failure | None = None
        self._stopping: Deferred[None] | None = None
        self._closing: Deferred[None] | None = None
        self._aborted = False
        self._ready: list[Deferred[None]] = []
        self._stopped: list[Deferred[None]] = []
        self._until: tuple[Callable[[], bool], Deferred[None]] | None = None
        self._check(self._functions)

    def _check(self, functions: dict[str, Function]) -> None:
        self._places.check(functions)
        check(self._announcement("0" * 32, functions), self._limits)

    def service(self, name: str | None = None, in_reactor: bool | None = None) -> Callable[[F], F]:
        """
        Offer a function: C{@agent.service("name")}.

        @param name: the service's, if it is not the function's.
        @param in_reactor: see L{jobroute.agent.service}.
        @raise ConfigurationError: if it cannot serve, or the agent runs.
        """

        def offer(function: F) -> F:
            marked = mark_service(name, in_reactor=in_reactor)(function)
            chosen = marked_name(marked)
            if self._incarnation is not None:
                raise ConfigurationError(f"Service {chosen}: the agent runs already.")
            functions = {**self._functions, chosen: describe(chosen, marked)}
            self._check(functions)
            self._functions = functions
            return marked

        return offer

    def _announcement(self, incarnation: str, functions: dict[str, Function]) -> Announcement:
        return Announcement(
            name=self.agent_name,
            incarnation=incarnation,
            services=tuple(functions),
            slots=self._slots,
            prefetch=self._prefetch,
            pid=os.getpid(),
            hostname=platform.node()[:255],
            version=f"jobroute {jobroute.__version__}",
            labels=self._labels,
        )

    # -- What can be waited for

    def whenReady(self) -> Deferred[None]:
        """
        Wait until the broker has taken the agent.

        @return: fails with L{RegistrationRefused} if it does not, and with
            L{jobroute.errors.BadVersion} if it speaks another version.
        """
        if self._ended is not None:
            return fail(self._ended)
        if self._registered:
            return succeed(None)
        return waiting(self._ready)

    def whenStopped(self) -> Deferred[None]:
        """
        Wait until the agent has stopped.

        @return: fails as L{whenReady} does, if that is why it stopped.
        """
        if self._ended is not None:
            return fail(self._ended)
        if self._incarnation is None:
            return succeed(None)
        return waiting(self._stopped)

    @property
    def incarnation(self) -> Incarnation | None:
        """
        Its present life, if it runs.
        """
        return self._incarnation

    # -- Service

    def startService(self) -> None:
        """
        Look for the broker and register.  Sockets are opened here, and not
        before.

        @raise ConfigurationError: if it offers no service.
        """
        if self._incarnation is not None:
            return
        if not self._functions:
            raise ConfigurationError("An agent needs at least one service.")
        super().startService()  # type: ignore[no-untyped-call]
        self._registered, self._ended, self._aborted = False, None, False
        reactor = self._reactor
        if reactor is None:
            # Not before somebody wants one, so that others can choose it.
            reactor = namedAny("twisted.internet.reactor")
        network = self._network
        if network is None:
            network = self._own_network = namedAny(_NETWORK)(reactor, 1)
        functions, pool = self._places.open(
            self._functions, reactor, self._slots, f"jobroute-{self.agent_name}"
        )
        incarnation = self._incarnation = Incarnation(
            self._announcement(f"{self._random.getrandbits(128):032x}", self._functions),
            self._url,
            network,
            reactor,
            self._clock,
            self._random,
            functions,
            pool,
            self._limits,
            self._on_registered,
            self._on_refused,
            self._on_change,
            self._patience,
            self._max_entries,
            self._max_bytes,
            self._stop_when_away,
        )
        self._timers = reactor
        self._places.start().addCallbacks(lambda _: incarnation.open(), self._on_refused)

    def stopService(self) -> Deferred[None]:
        """
        Take nothing new, finish what is held, wait until the results are
        acknowledged, take leave, and close the sockets; all that within
        limits.  The second time: at once.
        """
        if self.running:
            super().stopService()  # type: ignore[no-untyped-call]
        if self._incarnation is None:
            return succeed(None)
        if self._stopping is not None:
            stopped = after(self._stopping)
            self.abort()
            return stopped
        self._stopping = Deferred.fromCoroutine(self._stop(self._incarnation))
        stopped = after(self._stopping)
        if stopped.called:
            self._stopping = None
        return stopped

    def abort(self) -> None:
        """
        Stop at once: what is unfinished is given to others, or lost.
        """
        self._aborted = True
        if self._until is not None:
            waited = self._until[1]
            self._until = None
            waited.callback(None)
        elif self._closing is not None:
            self._places.kill()
        elif self._stopping is None and self._incarnation is not None:
            self._close(None)

    async def _stop(self, incarnation: Incarnation) -> None:
        work = incarnation.core.work
        incarnation.drain()
        if not await self._wait(lambda: work.idle, self._drain):
            self._log.warn(
                "Agent {agent} stops with {count} functions unfinished.",
                agent=self.agent_name,
                count=work.running,
            )
        elif not await self._wait(lambda: work.settled, self._settle):
            self._log.warn(
                "Agent {agent} stops with {count} results that the broker did not acknowledge.",
                agent=self.agent_name,
                count=len(work.held),
            )
        if self._incarnation is incarnation:
            await self._close(None)

    async def _wait(self, condition: Callable[[], bool], limit: float) -> bool:
        """
        Wait until something is so, or the time is over.

        @return: whether it is so.
        """
        if not condition() and not self._aborted and limit > 0:
            deferred: Deferred[None] = Deferred()
            self._until = (condition, deferred)
            timer = self._timers.callLater(limit, deferred.callback, None)
            await deferred
            self._until = None
            if timer.active():
                timer.cancel()
        return condition()

    def _close(self, failure: Failure | None) -> Deferred[None]:
        """
        Close the sockets, and end what runs elsewhere.

        @return: fires when that has ended.
        """
        if self._closing is None:
            assert self._incarnation is not None
            self.unfinished = len(self._incarnation.core.work.held)
            self._incarnation.close()
            if self._own_network is not None:
                closing = self._own_network.close()
                closing.addErrback(lambda f: self._log.failure("Closing the sockets failed.", f))
                self._own_network = None
            closing = self._closing = self._places.stop()
            if self._aborted:
                self._places.kill()
            closing.addCallback(lambda _: self._closed(failure))
            return after(closing)
        return after(self._closing)

    def _closed(self, failure: Failure | None) -> None:
        self._incarnation = self._closing = None
        self._registered, self._stopping, self._ended = False, None, failure
        waiting = self._stopped if failure is None else self._ready + self._stopped
        self._stopped = []
        if failure is not None:
            self._ready = []
        for deferred in waiting:
            if failure is None:
                deferred.callback(None)
            else:
                deferred.errback(failure)

    # -- From the incarnation

    def _on_registered(self) -> None:
        self._registered = True
        waiting, self._ready = self._ready, []
        for deferred in waiting:
            deferred.callback(None)

    def _on_refused(self, failure: Failure) -> None:
        if failure.check(RegistrationRefused):
            error = RegistrationRefused(
                f"The broker does not take agent {self.agent_name}: {failure.value}"
            )
            failure = Failure(error)
        self._log.error("{reason}", reason=failure.getErrorMessage())
        if self._until is not None:
            self.abort()
        # In a later turn: the core is in the middle of something.
        self._timers.callLater(0, self._give_up, self._incarnation, failure)

    def _give_up(self, incarnation: Incarnation, failure: Failure) -> None:
        if self._incarnation is incarnation:
            self._close(failure)

    def _on_change(self) -> None:
        if self._until is not None and self._until[0]():
            waited = self._until[1]
            self._until = None
            waited.callback(None)
