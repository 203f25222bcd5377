# -*- test-case-name: tests.agent.test_places -*-
"""
Where the functions of an agent run beside its reactor: threads and processes;
and programs, if they are allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList, succeed

from jobroute.agent.context import Context
from jobroute.agent.functions import Function
from jobroute.agent.performer import Pool
from jobroute.agent.processes import Pooling, Processes, names_of
from jobroute.agent.programs import COMMAND, Programs
from jobroute.agent.waits import after
from jobroute.config import Limits
from jobroute.errors import ConfigurationError
from jobroute.interfaces import IClock
from jobroute.model import Frames


@define(eq=False)
class Places:
    """
    All of them, for one life of an agent after the other.

    @ivar pooling: what is wanted of processes; L{None} if threads will do.
    @ivar allow_command: whether programs are run.
    @ivar grace: how many seconds a process or program has to end.
    @ivar pool: the threads.
    @ivar processes: the processes.
    @ivar programs: the programs.
    """

    pooling: Pooling | None
    allow_command: bool
    grace: float
    _make_pool: Callable[[int, str], Pool]
    _limits: Limits
    _random: Random
    _clock: IClock
    pool: Pool | None = field(default=None, init=False)
    processes: Processes | None = field(default=None, init=False)
    programs: Programs | None = field(default=None, init=False)

    def offer(self, functions: dict[str, Function]) -> dict[str, Function]:
        """
        These functions, and what is offered beside them.

        @raise ConfigurationError: if both have one of the same name.
        """
        if not self.allow_command:
            return functions
        if COMMAND in functions:
            raise ConfigurationError(f"The service {COMMAND} is that of --allow-command.")
        call = self._command
        return {**functions, COMMAND: Function(COMMAND, call, "position", False, call)}

    async def _command(self, payload: Any, context: Context) -> Frames:
        assert self.programs is not None
        return await self.programs.perform(payload, context)

    def check(self, functions: Mapping[str, Function]) -> None:
        """
        See whether these functions can run there.

        @raise ConfigurationError: if not.
        """
        if not 0 <= self.grace < inf:
            raise ConfigurationError(f"grace must be a number of seconds, not {self.grace!r}.")
        if self.pooling is not None:
            self.pooling.check(self._limits)
            names_of(functions)

    def open(
        self, functions: Mapping[str, Function], reactor: Any, slots: int, name: str
    ) -> tuple[dict[str, Function], Pool]:
        """
        Make them.

        @return: the functions as a reactor can perform them, and the threads.
        """
        self.pool = self._make_pool(slots, name)
        self.programs = Programs(reactor, self._clock, self.grace)
        found = dict(functions)
        if self.pooling is not None:
            names = names_of(functions)
            if names:
                self.processes = Processes(reactor, self.pooling, names, self._limits, self._random)
                found = self.processes.place(functions)
        return found, self.pool

    def start(self) -> Deferred[None]:
        """
        Begin.

        @return: fires when functions can be performed; fails with
            L{jobroute.errors.ConfigurationError} if they never can.
        """
        return succeed(None) if self.processes is None else self.processes.start()

    def stop(self) -> Deferred[None]:
        """
        End them; threads end when their functions return.

        @return: fires when all processes and programs have ended.
        """
        if self.pool is not None:
            self.pool.stop()
            self.pool = None
        ending = [place.stop() for place in (self.processes, self.programs) if place is not None]
        return after(DeferredList(ending))

    def kill(self) -> None:
        """
        End the processes and programs at once.
        """
        for place in (self.processes, self.programs):
            if place is not None:
                place.kill()
