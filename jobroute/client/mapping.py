# -*- test-case-name: tests.client.test_mapping -*-
"""
Many jobs with a bounded number of them under way, without I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from attrs import define, field

from jobroute.client.outcomes import Outcome, Submitted
from jobroute.client.request import Request
from jobroute.errors import JobrouteError


@define(eq=False)
class Mapping:
    """
    The jobs of one C{map}.

    A face calls L{begin} once, then L{take} whenever C{changed} was called.

    @ivar payloads: where they come from; read as the work goes on.
    @ivar total: how many there are, if that is known.
    @ivar first: makes the first request of a payload: a call, or the
        submission of a job.
    @ivar then: makes the second one, of what the first gave.
    @ivar window: how many are under way or waiting to be taken.
    @ivar progress: told in L{take} how many are done, and of how many.
    @ivar changed: called when L{take} has something new to say.
    @ivar over: whether there is nothing more to take.
    """

    payloads: Iterator[Any]
    total: int | None
    first: Callable[[Any], Request[Any]]
    then: Callable[[Submitted], Request[Outcome]] | None = None
    window: int = 100
    ordered: bool = True
    progress: Callable[[int, int | None], object] | None = None
    changed: Callable[[], None] = lambda: None
    over: bool = field(default=False, init=False)

    _send: Callable[[Request[Any]], None] = field(default=lambda request: None, init=False)
    _abandon: Callable[[Request[Any]], None] = field(default=lambda request: None, init=False)
    _begun: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _told: int = field(default=0, init=False)
    _exhausted: bool = field(default=False, init=False)
    _running: dict[int, Request[Any]] = field(factory=dict, init=False)
    _finished: dict[int, Outcome | Exception] = field(factory=dict, init=False)
    _as_done: deque[int] = field(factory=deque, init=False)

    def begin(
        self,
        send: Callable[[Request[Any]], None],
        abandon: Callable[[Request[Any]], None],
    ) -> None:
        """
        Begin with as many as the window holds.

        @param send: begins a request; may raise L{JobrouteError}.
        @param abandon: drops one, and cancels what it asked for.
        """
        self._send = send
        self._abandon = abandon
        self._fill()

    def take(self) -> Outcome | None:
        """
        The next outcome, or L{None} if there is none yet or C{over} is true.
        Raises what reading the next payload or the progress callback raised.
        After an error it is over.

        @raise JobrouteError: if there is no outcome for the next one.
        """
        try:
            outcome = self._take()
        except BaseException:
            self.close()
            raise
        if outcome is None and self._exhausted and self._taken == self._begun:
            self.over = True
        return outcome

    def close(self) -> None:
        """
        Drop and cancel what is under way.  May be called again.
        """
        self.over = True
        running, self._running = self._running, {}
        for request in running.values():
            self._abandon(request)

    def _take(self) -> Outcome | None:
        if self.over:
            return None
        self._fill()
        if self.progress is not None and self._told != self._done:
            self._told = self._done
            self.progress(self._done, self.total)
        position: int | None
        if self.ordered:
            position = self._taken if self._taken in self._finished else None
        else:
            position = self._as_done.popleft() if self._as_done else None
        if position is None:
            return None
        self._taken += 1
        what = self._finished.pop(position)
        if not isinstance(what, Outcome):
            raise what
        self._fill()
        return attrs.evolve(what, position=position)

    def _fill(self) -> None:
        while not self._exhausted and self._begun - self._taken < self.window:
            position = self._begun
            try:
                request = self.first(next(self.payloads))
            except StopIteration:
                self._exhausted = True
            except Exception as e:
                # Told in its turn, after what comes before it.
                self._exhausted = True
                self._begun += 1
                self._finished[position] = e
                self._as_done.append(position)
            else:
                self._begun += 1
                self._start(position, request)

    def _start(self, position: int, request: Request[Any]) -> None:
        request.finished = lambda request: self._ended(position, request)
        self._running[position] = request
        try:
            self._send(request)
        except JobrouteError as e:
            self._settle(position, e)

    def _ended(self, position: int, request: Request[Any]) -> None:
        if request.error is not None:
            self._settle(position, request.error)
        elif isinstance(request.value, Outcome):
            self._settle(position, request.value)
        elif not self.over:
            assert self.then is not None and request.value is not None
            self._start(position, self.then(request.value))

    def _settle(self, position: int, what: Outcome | JobrouteError) -> None:
        if self._running.pop(position, None) is None:
            return
        self._finished[position] = what
        self._as_done.append(position)
        self._done += 1
        self.changed()
