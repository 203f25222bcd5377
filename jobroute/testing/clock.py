# -*- test-case-name: tests.simulation.test_clock -*-
"""
Time that passes when it is told to.

One clock drives a whole simulated world; each process in it has a reactor and
two clocks of its own.  What is due at the same moment is done in an order
that follows from the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from heapq import heappop, heappush
from random import Random

from attrs import define, field
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from zope.interface import implementer

from jobroute.interfaces import IClock
from jobroute.log import Logger

_Function = Callable[..., object]

#: What the wall clock says at the beginning.
WALL = 1_700_000_000.0


@implementer(IDelayedCall)
@define(eq=False)
class SimulatedCall:
    """
    Something to do at a moment.
    """

    _reactor: SimulatedReactor
    _when: float
    _function: _Function
    _arguments: tuple[object, ...]
    _keywords: dict[str, object]
    called: bool = field(default=False, init=False)
    cancelled: bool = field(default=False, init=False)
    # Grows when it is moved; what stands in the heap under another is void.
    version: int = field(default=0, init=False)

    def getTime(self) -> float:
        """
        When it is due.
        """
        return self._when

    def cancel(self) -> None:
        """
        Let it not happen.
        """
        self._check()
        self.cancelled = True

    def delay(self, secondsLater: float) -> None:
        """
        Let it happen later than it would have.
        """
        self._check()
        self._move(self._when + secondsLater)

    def reset(self, secondsFromNow: float) -> None:
        """
        Let it happen so many seconds from now.
        """
        self._check()
        self._move(self._reactor.seconds() + secondsFromNow)

    def active(self) -> bool:
        """
        Whether it is still to happen.
        """
        return not (self.called or self.cancelled)

    def due(self) -> None:
        """
        Do it, unless its process is dead; when it is frozen, later.
        """
        reactor = self._reactor
        if reactor.alive and reactor.frozen_until > reactor.clock.now:
            reactor.postpone(self)
            return
        self.called = True
        if reactor.alive:
            self._function(*self._arguments, **self._keywords)

    def _check(self) -> None:
        if self.cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled

    def _move(self, when: float) -> None:
        self._when = when
        self.version += 1
        self._reactor.clock.put(self, when)


@define(eq=False)
class SimulatedClock:
    """
    The time of a world.

    @ivar random: shuffles what is due at the same moment; L{None} keeps the
        order in which it was asked for.
    @ivar now: seconds since the beginning.
    @ivar wall: seconds since 1970, at the beginning and as stepped since.
    @ivar steps: how many calls were made.
    """

    _log = Logger()

    random: Random | None = None
    now: float = 0.0
    wall: float = WALL
    steps: int = field(default=0, init=False)
    _serial: int = field(default=0, init=False)
    _heap: list[tuple[float, float, int, int, SimulatedCall]] = field(factory=list, init=False)
    _traps: list[tuple[int, int, Callable[[], object]]] = field(factory=list, init=False)

    def step(self, seconds: float) -> None:
        """
        Let the wall clock jump, as an administrator or NTP does.
        """
        self.wall += seconds

    def after_steps(self, count: int, function: Callable[[], object]) -> None:
        """
        Do something between two calls, after so many more of them.
        """
        self._serial += 1
        heappush(self._traps, (self.steps + count, self._serial, function))

    def put(self, call: SimulatedCall, when: float, in_line: bool = False) -> None:
        """
        Let a call be due.

        @param in_line: never before another such call that was put earlier.
        """
        self._serial += 1
        tie = 0.0 if in_line or self.random is None else self.random.random()
        heappush(self._heap, (when, tie, self._serial, call.version, call))

    def calls(self) -> list[SimulatedCall]:
        """
        All that is to be done.
        """
        return [
            call
            for *_, version, call in sorted(self._heap)
            if call.active() and call.version == version
        ]

    def next_due(self) -> float | None:
        """
        When the next call is due, or L{None} if there is none.
        """
        heap = self._heap
        while heap:
            when, _, _, version, call = heap[0]
            if call.active() and version == call.version:
                return when
            heappop(heap)
        return None

    def leap(self, seconds: float, still: Container[SimulatedReactor]) -> None:
        """
        Let time pass in which nothing happens: what is to be done is done so
        much later.

        @param still: the reactors whose calls are done when they were to be,
            or at once.
        """
        self.now += seconds
        for call in self.calls():
            if call._reactor not in still:
                call.delay(seconds)

    def advance(self, seconds: float) -> None:
        """
        Let time pass, and do what becomes due.
        """
        until = self.now + seconds
        heap = self._heap
        while heap and heap[0][0] <= until:
            when, _, _, version, call = heappop(heap)
            if call.cancelled or call.called or version != call.version:
                continue
            self.now = max(self.now, when)
            self.steps += 1
            try:
                call.due()
            except Exception:
                # As a reactor does.
                self._log.failure("A delayed call failed.")
            while self._traps and self._traps[0][0] <= self.steps:
                heappop(self._traps)[2]()
        self.now = max(self.now, until)


@implementer(IReactorTime, IReactorFromThreads)
@define(eq=False)
class SimulatedReactor:
    """
    The reactor of one process, which can die.

    @ivar alive: whether anything that it was asked to do still happens.
    @ivar frozen_until: until when nothing of it does.
    """

    clock: SimulatedClock
    alive: bool = field(default=True, init=False)
    frozen_until: float = field(default=0.0, init=False)
    _postponed: list[tuple[int, SimulatedCall]] = field(factory=list, init=False)

    def seconds(self) -> float:
        """
        The time.
        """
        return self.clock.now

    def callLater(
        self, delay: float, callable: _Function, *args: object, **kwargs: object
    ) -> SimulatedCall:
        """
        Do something later.
        """
        assert delay >= 0, f"{delay} seconds are no time"
        when = self.clock.now + delay
        call = SimulatedCall(self, when, callable, args, kwargs)
        self.clock.put(call, when, in_line=delay == 0)
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """
        All that is to be done here.
        """
        return [call for call in self.clock.calls() if call._reactor is self]

    def callFromThread(self, callable: _Function, *args: object, **kwargs: object) -> None:
        """
        Do something in the next turn.
        """
        self.callLater(0, callable, *args, **kwargs)

    def callWhenRunning(self, callable: _Function, *args: object, **kwargs: object) -> None:
        """
        Do something now: it runs.
        """
        callable(*args, **kwargs)

    def freeze(self, seconds: float) -> None:
        """
        Let nothing happen for a while; then all that was due meanwhile.
        """
        if self.frozen_until <= self.clock.now:
            self._postponed.clear()
        self.frozen_until = max(self.frozen_until, self.clock.now + seconds)

    def postpone(self, call: SimulatedCall) -> None:
        """
        Do something when nobody is frozen any more.
        """
        self._postponed.append((call.version, call))
        self.clock.put(call, self.frozen_until, in_line=True)

    def thaw(self) -> None:
        """
        Let everything happen again, and first what was due meanwhile.
        """
        frozen = self.frozen_until > self.clock.now
        self.frozen_until = 0.0
        postponed, self._postponed = self._postponed, []
        for version, call in postponed if frozen else ():
            if call.active() and call.version == version:
                call.version += 1
                self.clock.put(call, self.clock.now, in_line=True)

    def kill(self) -> None:
        """
        Let nothing happen any more.
        """
        self.alive = False


@implementer(IClock)
@define(eq=False)
class ProcessClock:
    """
    The two clocks of one process: its monotonic one begins anywhere.

    @ivar ahead: how far its wall clock is ahead of the others'.
    """

    _clock: SimulatedClock
    _beginning: float = 0.0
    ahead: float = 0.0

    def jump(self, seconds: float) -> None:
        """
        Let the monotonic clock go on by more than has passed, as when a
        machine was suspended.
        """
        self._beginning += seconds

    def monotonic(self) -> float:
        """
        See L{IClock.monotonic}.
        """
        return self._clock.now + self._beginning

    def wall(self) -> float:
        """
        See L{IClock.wall}.
        """
        return self._clock.wall + self._clock.now + self.ahead


def reactor_and_clock(
    clock: SimulatedClock, random: Random
) -> tuple[SimulatedReactor, ProcessClock]:
    """
    What a new process is given.
    """
    return SimulatedReactor(clock), ProcessClock(clock, random.uniform(0.0, 1e6))
