# -*- test-case-name: tests.simulation.test_simulation -*-
"""
What the agents of a simulation are asked to do, and how they do it.

A job's header says how long its work takes, how many partial results it
gives, and how it ends; the result names who computed it, so that nobody can
take it for another's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jobroute.agent import Context, Refuse
from jobroute.errors import Cancelled
from jobroute.model import Frames
from jobroute.testing.history import Note

#: Done in the reactor, with all that may happen there.
WORK = "work"

#: Done in a thread.
PLAIN = "plain"

#: Offered by the first agent only.
RARE = "rare"


class Failed(Exception):
    """
    Work that was meant to fail.
    """


@frozen
class Errand:
    """
    How a job's work goes, as its header says.

    @ivar lasts: seconds.
    @ivar partials: how many partial results it gives.
    @ivar then: C{result}, C{failure} or C{refused}.
    @ivar stubborn: for how many seconds it goes on when it is cancelled.
    """

    lasts: float = 0.1
    partials: int = 0
    then: str = "result"
    stubborn: float = 0.0

    def header(self) -> dict[str, Any]:
        """
        As a job's header.
        """
        return {
            "lasts": self.lasts,
            "partials": self.partials,
            "then": self.then,
            "stubborn": self.stubborn,
        }


def computed(job: str, index: int, attempt: int, who: str, payload: Frames) -> Frames:
    """
    The result of one attempt.
    """
    return (f"{job}/{index}/{attempt}/{who}".encode(), *payload)


def partial_computed(job: str, index: int, attempt: int, sequence: int) -> Frames:
    """
    A partial result of one attempt.
    """
    return (f"{job}/{index}/{attempt}/{sequence}".encode(),)


@define(eq=False)
class Worker:
    """
    The functions of one life of an agent.

    @ivar who: that life.
    @ivar note: its history.
    @ivar sleep: what a thread does while its work lasts.
    """

    _reactor: IReactorTime
    who: str
    note: Note
    sleep: Callable[[float], object] = field(default=lambda seconds: None)

    def functions(self, rare: bool) -> dict[str, Callable[..., Any]]:
        """
        By service.
        """
        functions: dict[str, Callable[..., Any]] = {WORK: self.work, PLAIN: self.plain}
        if rare:
            functions[RARE] = self.work
        return functions

    async def work(self, payload: Any, context: Context) -> Frames:
        """
        What the header says, in the reactor.
        """
        errand = Errand(**context.header)
        reactor = self._reactor
        self._began(context)
        pause = errand.lasts / (errand.partials + 1)
        try:
            for sequence in range(1, errand.partials + 1):
                await deferLater(reactor, pause)
                context.progress(sequence / errand.partials)
                frames = partial_computed(context.job, context.index, context.attempt, sequence)
                self._note("gave", context, sequence=sequence)
                await context.partial(*frames)
            if errand.lasts:
                await deferLater(reactor, pause)
        except (CancelledError, Cancelled):
            if errand.stubborn:
                await deferLater(reactor, errand.stubborn)
            self._note("ended", context, kind="cancelled")
            raise
        return self._end(errand, context)

    def plain(self, payload: Any, context: Context) -> Frames:
        """
        What the header says, but in a thread.
        """
        errand = Errand(**context.header)
        self._began(context)
        self.sleep(errand.lasts)
        return self._end(errand, context)

    def _began(self, context: Context) -> None:
        self._note("began", context, service=context.service)

    def _end(self, errand: Errand, context: Context) -> Frames:
        if errand.then == "refused":
            self._note("ended", context, kind="refused")
            raise Refuse("It was meant to be refused.")
        if errand.then == "failure":
            self._note("ended", context, kind="failure")
            raise Failed("It was meant to fail.")
        frames = computed(
            context.job, context.index, context.attempt, self.who, tuple(context.frames)
        )
        self._note("ended", context, kind="result", frames=frames)
        return frames

    def _note(self, what: str, context: Context, **said: Any) -> None:
        self.note(
            what,
            part=context.part,
            attempt=context.attempt,
            job=context.job,
            index=context.index,
            **said,
        )
