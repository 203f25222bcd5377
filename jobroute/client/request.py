# -*- test-case-name: tests.client.test_core -*-
"""
One request of a client, from its question to its one outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from attrs import define, field

from jobroute.client.outcomes import Outcome, Partial, PartOutcome
from jobroute.client.reading import read_outcome, read_part, read_partial, read_progress
from jobroute.errors import JobrouteError
from jobroute.model import Frames
from jobroute.wire.native import Answer

T = TypeVar("T")


class Again(Enum):
    """
    What to do with a request when nobody knows whether it arrived.
    """

    #: Send it again: it makes no difference.
    SAME = "same"
    #: It is a call: ask for its outcome by its token, so that nothing runs it twice.
    WAIT = "wait"
    #: Nothing.  If the broker was started anew its outcome is unknown.
    NEVER = "never"


@define(eq=False)
class Streams:
    """
    What comes before the final answer of a call or a wait, each thing once
    however often it is sent.

    @ivar wanted: the kinds to ask the broker for.
    @ivar callbacks: the user's, by kind.
    @ivar kept: whether the broker keeps partial results, so that one that is
        missing can be had again.
    @ivar tell: calls a callback with a L{jobroute.client.outcomes.Progress},
        a L{Partial} or a L{PartOutcome}; a face may do it later.
    """

    wanted: list[str]
    callbacks: dict[str, Callable[[Any], object]] = field(factory=dict)
    kept: bool = True
    tell: Callable[[Callable[[Any], object], Any], object] = lambda callback, what: callback(what)
    _parts: dict[int, PartOutcome] = field(factory=dict, init=False)
    _latest: dict[int, tuple[int, int]] = field(factory=dict, init=False)
    _missing: bool = field(default=False, init=False)

    def received(self, answer: Answer, latest: bool = True) -> bool:
        """
        An answer that is not final came.

        @param latest: whether it answers the latest of the questions; progress
            comes from that one alone.
        @return: whether it shows that one before it is lost, so that the
            stream is to be asked for again.
        @raise BadMessage: if it is not what the protocol says.
        """
        if answer.progress is not None:
            if latest:
                self._tell("progress", read_progress(answer.progress, answer.payload))
        elif answer.partial is not None:
            return self._partial(read_partial(answer.partial, answer.payload))
        elif answer.part is not None:
            part = read_part(answer.part, answer.payload)
            if part.index not in self._parts:
                self._parts[part.index] = part
                self._tell("part", part)
        return False

    def _partial(self, partial: Partial) -> bool:
        """
        A partial result came.

        @return: whether one before it is lost.
        """
        attempt, sequence = self._latest.get(partial.index, (0, 0))
        if (partial.attempt, partial.sequence) <= (attempt, sequence):
            return False
        expected = sequence + 1 if partial.attempt == attempt else 1
        if self.kept and partial.sequence > expected:
            # Once is enough until there is something new.
            missing, self._missing = not self._missing, True
            return missing
        self._missing = False
        self._latest[partial.index] = (partial.attempt, partial.sequence)
        self._tell("partial", partial)
        return False

    def outcome(self, value: Any, frames: Frames) -> Outcome:
        """
        Read the final answer, with the results that came before it.
        """
        return read_outcome(value, frames, self._parts)

    def _tell(self, kind: str, what: Any) -> None:
        callback = self.callbacks.get(kind)
        if callback is not None:
            self.tell(callback, what)


@define(eq=False)
class Request(Generic[T]):
    """
    A request.  The core changes it; a face sets C{finished} and looks at
    C{value} and C{error} when that was called, which happens exactly once.

    @ivar decode: makes the value of the final answer; may raise
        L{jobroute.errors.BadMessage}.
    @ivar again: what to do in doubt.
    @ivar waits: whether it takes as long as a job does.
    @ivar timeout: how many seconds it may take; L{None} for the client's,
        or for no limit if it C{waits}.
    @ivar retry: for how many seconds it is asked again while the broker is
        busy; L{None} is not at all.
    @ivar token: the secret name of a call.
    @ivar undo: names what to C{CANCEL} if nobody waits any more.
    @ivar rest: what there is when some of it was refused by a busy broker,
        which C{decode} says by raising L{jobroute.errors.Busy}.
    @ivar finished: told when it has its outcome.
    """

    command: str
    properties: dict[str, Any]
    decode: Callable[[Any, Frames], T]
    payload: Frames = ()
    again: Again = Again.SAME
    waits: bool = False
    timeout: float | None = None
    retry: float | None = None
    token: str | None = None
    undo: dict[str, Any] | None = None
    streams: Streams | None = None
    rest: Callable[[], T] | None = None
    finished: Callable[[Request[T]], None] = field(default=lambda request: None)

    done: bool = field(default=False, init=False)
    value: T | None = field(default=None, init=False)
    error: JobrouteError | None = field(default=None, init=False)

    #: The core's own: its wire ids, which form the latest was sent in, the
    #: number of pings before it, and moments.
    ids: list[int] = field(factory=list, init=False)
    asked_again: bool = field(default=False, init=False)
    pings: int = field(default=0, init=False)
    begun: float = field(default=0.0, init=False)
    sent: float = field(default=0.0, init=False)
    limit: float | None = field(default=None, init=False)
    pause: float = field(default=0.0, init=False)
    refused: int = field(default=0, init=False)
    paused: bool = field(default=False, init=False)

    def result(self) -> T:
        """
        Its value.

        @raise JobrouteError: if it has an error.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]
