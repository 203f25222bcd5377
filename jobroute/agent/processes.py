# -*- test-case-name: tests.agent.test_processes -*-
"""
The processes in which functions run that would keep a processor busy.

Neither pebble nor loky does this: their children cannot say anything before
they return (progress, partial results with backpressure, inputs), loky cannot
stop one child and loses all of them with one, both want threads of their own
in the agent and pickle what goes in and out.  A reactor has what is left for a
library to do: it starts processes without forking this one's threads, reads
and writes pipes, and knows when a process has ended.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Coroutine, Mapping
from random import Random
from typing import Any

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from jobroute.agent import pipe
from jobroute.agent.context import Context
from jobroute.agent.functions import Function, Lost, dotted_name
from jobroute.agent.pauses import Pauses
from jobroute.agent.process import Child
from jobroute.agent.waits import waiting
from jobroute.config import Limits
from jobroute.errors import ConfigurationError
from jobroute.log import Logger, least_level
from jobroute.model import Frames

#: After so many children that could not start, parts do not wait for one.
HOPELESS = 3


@frozen
class Pooling:
    """
    What an agent wants of its processes.

    @ivar count: how many there are.
    @ivar memory: how many bytes each may have.
    @ivar tasks: after how many parts each is replaced by a new one.
    @ivar grace: how many seconds each has to end when it is told to.
    """

    count: int
    memory: int | None = None
    tasks: int | None = None
    grace: float = 5.0

    def check(self, limits: Limits) -> None:
        """
        See whether that can be.

        @raise ConfigurationError: if not; the text names what is wrong.
        """
        for what, number, most in (
            ("processes", self.count, limits.slots),
            ("memory limit", self.memory, 2**62),
            ("tasks per child", self.tasks, 2**62),
        ):
            if number is None:
                continue
            whole = isinstance(number, int) and not isinstance(number, bool)
            if not whole or not 1 <= number <= most:
                raise ConfigurationError(f"{what} must be between 1 and {most}, not {number!r}.")


def names_of(functions: Mapping[str, Function]) -> dict[str, str]:
    """
    What children have to import: the functions that would block a reactor.

    @raise ConfigurationError: if one of them cannot be imported.
    """
    return {f.service: dotted_name(f.service, f.source) for f in functions.values() if f.threaded}


@define(eq=False)
class Processes:
    """
    The children of one agent.
    """

    _log = Logger()

    _reactor: Any
    _pooling: Pooling
    _services: dict[str, str]
    _limits: Limits
    _random: Random
    _children: set[Child] = field(factory=set, init=False)
    _free: deque[Child] = field(factory=deque, init=False)
    _waiting: deque[Deferred[Child]] = field(factory=deque, init=False)
    _gone: dict[Child, list[Deferred[None]]] = field(factory=dict, init=False)
    _started: Deferred[None] = field(factory=Deferred, init=False)
    _failures: int = field(default=0, init=False)
    _pauses: Pauses = field(init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _stopped: list[Deferred[None]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._pauses = Pauses(self._random, 0.5, 30.0)

    @property
    def pids(self) -> list[int]:
        """
        The processes that there are.
        """
        return sorted(child.pid for child in self._children if child.pid is not None)

    # -- Life

    def start(self) -> Deferred[None]:
        """
        Start all children.

        @return: fires when the first one can work; fails with
            L{ConfigurationError} if it cannot.
        """
        self._fill()
        return self._started

    def stop(self) -> Deferred[None]:
        """
        End all children; who works is interrupted.

        @return: fires when they have ended.
        """
        self._stopping = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for child in list(self._children):
            child.end()
        while self._waiting:
            self._waiting.popleft().errback(Lost("The agent has stopped."))
        if not self._children:
            return succeed(None)
        return waiting(self._stopped)

    def kill(self) -> None:
        """
        End all children at once.
        """
        self._stopping = True
        for child in list(self._children):
            child.kill()

    # -- Work

    def place(self, functions: Mapping[str, Function]) -> dict[str, Function]:
        """
        Functions that have those which would block the reactor performed
        here: to the reactor, they are coroutines.
        """

        def perform(payload: Any, context: Context) -> Coroutine[Deferred[Any], Any, Frames]:
            return self.perform(context)

        return {
            name: evolve(f, call=perform, context="position", threaded=False) if f.threaded else f
            for name, f in functions.items()
        }

    async def perform(self, context: Context) -> Frames:
        """
        Have a child perform an attempt.  When this is cancelled, it is over
        when the child has ended.
        """
        child = await self._next()
        try:
            return await child.work(context)
        except CancelledError:
            child.end()
            self._fill()
            await self._until_gone(child)
            raise
        finally:
            self._release(child)

    def _next(self) -> Deferred[Child]:
        while self._free:
            child = self._free.popleft()
            if child.ready:
                return succeed(child)
        deferred: Deferred[Child] = Deferred(self._waiting.remove)
        self._waiting.append(deferred)
        return deferred

    def _release(self, child: Child) -> None:
        self._failures = 0
        self._pauses.reset()
        if not child.ready:
            return
        tasks = self._pooling.tasks
        if child.spent or (tasks is not None and child.parts >= tasks):
            child.retire()
            self._fill()
        else:
            self._offer(child)

    def _offer(self, child: Child) -> None:
        if self._waiting:
            self._waiting.popleft().callback(child)
        else:
            self._free.append(child)

    def _until_gone(self, child: Child) -> Deferred[None]:
        if child not in self._children:
            return succeed(None)
        return waiting(self._gone.setdefault(child, []))

    # -- Children

    def _fill(self) -> None:
        """
        Have as many children as are wanted, beside those that end.
        """
        if self._timer is not None and self._timer.active():
            return
        while not self._stopping:
            if sum(not child.ending for child in self._children) >= self._pooling.count:
                return
            limits, variables = self._limits, ("PYTHONPATH",)
            setup = pipe.Setup(
                self._services,
                sys.path,
                {name: os.environ.get(name) for name in variables},
                limits.message,
                limits.header,
                limits.frames,
                limits.depth,
                least_level(),
                self._pooling.memory,
            )
            child = Child(self._reactor, setup, self._pooling.grace, self._ready, self._over)
            self._children.add(child)
            try:
                child.spawn()
            except OSError as e:
                child.reason = f"{type(e).__name__}: {e}"
                self._over(child)
                return

    def _ready(self, child: Child) -> None:
        if not self._started.called:
            self._started.callback(None)
        self._offer(child)

    def _over(self, child: Child) -> None:
        """
        A child has ended, and nobody needs to be told what it did.
        """
        self._children.discard(child)
        for deferred in self._gone.pop(child, []):
            deferred.callback(None)
        if self._stopping:
            if not self._children:
                stopped, self._stopped = self._stopped, []
                for deferred in stopped:
                    deferred.callback(None)
        elif child.started and (child.parts or child.ending):
            self._fill()
        else:
            # One that ends before it has done anything is not replaced at once.
            self._failed(child.reason)

    def _failed(self, reason: str) -> None:
        why = f"A process for the functions cannot start or stay: {reason}"
        if not self._started.called:
            self._started.errback(ConfigurationError(why))
            return
        self._log.error("{reason}", reason=why)
        self._failures += 1
        if self._timer is None or not self._timer.active():
            self._timer = self._reactor.callLater(self._pauses.next(), self._fill)
        if self._failures >= HOPELESS and not any(child.ready for child in self._children):
            while self._waiting:
                self._waiting.popleft().errback(Lost(why))


def pooling(
    processes: int | None, memory: int | None, tasks: int | None, grace: float
) -> Pooling | None:
    """
    What was asked for, if it was.

    @raise ConfigurationError: if only what belongs to it was.
    """
    if processes is not None:
        return Pooling(processes, memory, tasks, grace)
    if memory is not None or tasks is not None:
        raise ConfigurationError("A memory limit and tasks per child are for --processes.")
    return None
