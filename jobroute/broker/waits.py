# -*- test-case-name: tests.broker.test_waits -*-
"""
Who waits for a job, and what they are told.

A wait is found again by the secret token of its call, or by the job's id;
never by where an earlier question came from.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jobroute.broker.answered import Answered
from jobroute.broker.parts import Attempt, Job, Part
from jobroute.errors import JobrouteError
from jobroute.interfaces import AnswerKind, IReplyTo
from jobroute.model import Frames


@define(eq=False, repr=False)
class Wait:
    """
    One client that waits for one job.

    @ivar stream: what of C{progress}, C{partial} and C{part} it asked for.
    @ivar counted: whether it counts against the client's limit; that of a
        call does not, its job does.
    @ivar timer: belongs to L{jobroute.broker.timers}.
    """

    job: Job
    reply_to: IReplyTo
    client: str
    stream: tuple[str, ...] = ()
    counted: bool = True
    timer: Any = None
    _told: dict[tuple[int, int], int] = field(factory=dict, init=False)
    _replays: int = field(default=0, init=False)
    _held: list[tuple[AnswerKind, Any, Frames]] = field(factory=list, init=False)

    def progress(self, part: Part, value: Any) -> None:
        """
        An agent reports progress.
        """
        if "progress" in self.stream:
            self._answer(AnswerKind.PROGRESS, {**_about(part), "value": value})

    def partial(self, attempt: Attempt, sequence: int, frames: Frames) -> None:
        """
        A partial result came.
        """
        if "partial" in self.stream:
            # When it is on disk the part may have another attempt already.
            about = {**_about(attempt.part), "attempt": attempt.number, "sequence": sequence}
            self._answer(AnswerKind.PARTIAL, about, frames)

    def part(self, part: Part, frames: Frames) -> None:
        """
        A part is done.
        """
        if "part" in self.stream:
            self._answer(AnswerKind.PART, part.outcome(), frames)

    def done(self, outcome: dict[str, Any], frames: Frames) -> None:
        """
        The job is done.
        """
        self._answer(AnswerKind.RESULT, outcome, frames)

    def failed(self, error: JobrouteError) -> None:
        """
        There is nothing to wait for any more.
        """
        self._answer(AnswerKind.ERROR, error)

    def replay(self, part: Part, stored: Deferred[list[tuple[int, Frames]]]) -> None:
        """
        Tell the partial results that are stored of the running attempt
        before whatever comes meanwhile.
        """
        self._replays += 1
        about, upto = _about(part), part.partials
        stored.addBoth(self._replayed, about, upto)

    def _replayed(
        self, found: list[tuple[int, Frames]] | Failure, about: dict[str, Any], upto: int
    ) -> None:
        # Those that cannot be read are missing from the stream; the numbers show it.
        for sequence, frames in () if isinstance(found, Failure) else found:
            if sequence <= upto:
                self._tell(AnswerKind.PARTIAL, {**about, "sequence": sequence}, frames)
        self._replays -= 1
        if not self._replays:
            held, self._held = self._held, []
            for kind, value, payload in held:
                self._tell(kind, value, payload)

    def _answer(self, kind: AnswerKind, value: Any, payload: Frames = ()) -> None:
        if self._replays:
            self._held.append((kind, value, payload))
        else:
            self._tell(kind, value, payload)

    def _tell(self, kind: AnswerKind, value: Any, payload: Frames) -> None:
        if kind is AnswerKind.PARTIAL:
            # What is stored while it is read comes twice.
            of, sequence = (value["index"], value["attempt"]), value["sequence"]
            if sequence <= self._told.get(of, 0):
                return
            self._told[of] = sequence
        self.reply_to.answer(kind, value, payload)


def _about(part: Part) -> dict[str, Any]:
    return {"job": part.job.id, "index": part.index, "attempt": part.made}


@define(eq=False, repr=False)
class Calls:
    """
    The calls that have a token: those under way, and for a while those that
    were answered, since an answer may have met a broken connection.
    """

    _open: dict[str, Job] = field(factory=dict, init=False)
    # A call must never run twice, so that even what is too large is known.
    _answered: Answered = field(factory=lambda: Answered(omit=True))

    def add(self, job: Job) -> None:
        """
        A call with a token is under way.
        """
        self._open[job.token] = job

    def find(self, token: str) -> Job | None:
        """
        The call under way with this token.
        """
        return self._open.get(token)

    def answer(self, token: str) -> tuple[dict[str, Any], Frames] | None:
        """
        What the call with this token was answered, if it is still known.
        """
        return self._answered.get(token)

    def done(self, job: Job, outcome: dict[str, Any], frames: Frames, now: float) -> None:
        """
        A call was answered.
        """
        self._open.pop(job.token, None)
        self._answered.put(job.token, outcome, frames, now)

    def purge(self, now: float) -> None:
        """
        Forget answers that nobody asked for again.
        """
        self._answered.purge(now)
