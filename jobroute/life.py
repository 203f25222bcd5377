# -*- test-case-name: tests.service.test_life -*-
"""
What a broker's service holds from one start to one stop, and how all of it is
given back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from jobroute.assembly import Broker
from jobroute.errors import JobrouteError
from jobroute.interfaces import IStorage
from jobroute.log import Logger
from jobroute.sockets import Sockets


def then(done: Deferred[Any], call: Callable[[Any], None]) -> None:
    """
    Hand on what a Deferred fires with: if it did already, outside of its
    callbacks, which would swallow a L{SystemExit}.
    """
    results: list[Any] = []
    done.addBoth(results.append)
    if results:
        call(results[0])
    else:
        done.addBoth(lambda _: call(results[0]))


def fire(waiting: Sequence[Deferred[None]], outcome: Failure | bool) -> None:
    """
    Tell all who wait: the failure, or that it is so.
    """
    for deferred in waiting:
        if isinstance(outcome, Failure):
            deferred.errback(outcome)
        else:
            deferred.callback(None)


@define(eq=False)
class Life:
    """
    What exists from one start to one stop.

    @ivar undo: gives back what was taken, with what to say if that fails; the
        last is done first.
    @ivar started: whether the store was asked to open.
    @ivar served: whether clients are, or were.
    @ivar ending: whether it is being closed.
    @ivar hurry: whether that waits for nobody.
    @ivar reason: why it had to end.
    @ivar ready: who waits in vain for it to serve.
    @ivar stops: who waits until it is closed.
    """

    _log = Logger()

    broker: Broker | None = None
    sockets: Sockets | None = None
    storage: IStorage | None = None
    loops: list[LoopingCall] = field(factory=list)
    undo: list[tuple[str, Callable[[], Any]]] = field(factory=list)
    began: float = 0.0
    started: bool = False
    served: bool = False
    ending: bool = False
    hurry: bool = False
    reason: Failure | None = None
    ready: list[Deferred[None]] = field(factory=list)
    stops: list[Deferred[None]] = field(factory=list)

    def loop(self, clock: Any, interval: float, function: Callable[[], None]) -> None:
        """
        Call a function now and then until L{halt}, whatever it raises.
        """

        def survive() -> None:
            # A looping call that meets an exception never loops again.
            try:
                function()
            except Exception:
                self._log.failure("Housekeeping failed; it goes on.")

        loop = LoopingCall(survive)
        loop.clock = clock
        self.loops.append(loop)
        loop.start(interval).addErrback(lambda f: self._log.failure("A loop ended.", f))

    def halt(self) -> None:
        """
        End the loops.
        """
        for loop in self.loops:
            if loop.running:
                loop.stop()

    async def close(self) -> None:
        """
        Give everything back.  Each thing is tried, whatever the others do.
        """
        while self.undo:
            what, undo = self.undo.pop()
            try:
                await maybeDeferred(undo)
            except JobrouteError as e:
                self._log.error("{what}: {reason}", what=what, reason=str(e))
            except Exception:
                self._log.failure("{what}.", what=what)
