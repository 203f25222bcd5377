# -*- test-case-name: tests.agent.test_places -*-
"""
Where the functions of an agent run beside its reactor: threads and processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed

from jobroute.agent.functions import Function
from jobroute.agent.performer import Pool
from jobroute.agent.processes import Pooling, Processes, names_of
from jobroute.config import Limits


@define(eq=False)
class Places:
    """
    All of them, for one life of an agent after the other.

    @ivar pooling: what is wanted of processes; L{None} if threads will do.
    @ivar pool: the threads.
    @ivar processes: the processes.
    """

    pooling: Pooling | None
    _make_pool: Callable[[int, str], Pool]
    _limits: Limits
    _random: Random
    pool: Pool | None = field(default=None, init=False)
    processes: Processes | None = field(default=None, init=False)

    def check(self, functions: Mapping[str, Function]) -> None:
        """
        See whether these functions can run there.

        @raise ConfigurationError: if not.
        """
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

        @return: fires when all processes have ended.
        """
        if self.pool is not None:
            self.pool.stop()
            self.pool = None
        return succeed(None) if self.processes is None else self.processes.stop()

    def kill(self) -> None:
        """
        End the processes at once.
        """
        if self.processes is not None:
            self.processes.kill()
