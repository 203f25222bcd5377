# -*- test-case-name: tests.broker.test_endings -*-
"""
Attempts that end without success: their part has another, at once or later,
or its verdict.
"""

from __future__ import annotations

from math import inf

from attrs import define

from jobroute.broker import losses
from jobroute.broker.deliveries import Deliveries
from jobroute.broker.events import Events
from jobroute.broker.journal import Journal
from jobroute.broker.parts import Attempt, Part
from jobroute.broker.retries import Retries
from jobroute.broker.routing import all_refused
from jobroute.broker.services import Services
from jobroute.broker.verdicts import Verdicts
from jobroute.interfaces import IClock
from jobroute.model import Advice, Frames, PartQueued, PartState, Past, Verdict

#: Why an attempt is stopped that is over its run limit.
OVERDUE = "It ran for too long."


@define(eq=False, repr=False)
class Endings:
    """
    Decides between another attempt and a verdict.
    """

    _clock: IClock
    _journal: Journal
    _events: Events
    _services: Services
    _deliveries: Deliveries
    _verdicts: Verdicts
    _counters: dict[str, int]
    _retries: Retries
    _max_lost: int

    def lost(self, attempt: Attempt, reason: str, died: bool = False) -> None:
        """
        An attempt will not be answered any more.  Its slot is released by
        the caller.

        @param died: whether its agent was lost while it had to do with it.
        """
        if attempt.current:
            self._counters["attempts_lost"] += 1
            self.over(attempt, Verdict.LOST, reason, died=died)

    def over(
        self,
        attempt: Attempt,
        verdict: Verdict,
        reason: str | None,
        frames: Frames = (),
        advice: Advice | None = None,
        died: bool = False,
    ) -> None:
        """
        The current attempt ended without success: its part has another, or
        its verdict.  The slot is released by the caller.

        @param advice: what the agent says of another attempt.
        @param died: whether the agent was lost.
        """
        part = attempt.part
        if part.cancelling:
            ended = Verdict.CANCELLED if verdict is Verdict.LOST else verdict
            self._verdicts.end(part, ended, None if ended is not verdict else reason, frames)
            return
        if attempt.overdue:
            verdict, reason, frames, advice = Verdict.TIMED_OUT, OVERDUE, (), None
        past = None
        if died and attempt.begun:
            past = part.past = losses.counted(attempt, self._clock.wall(), reason or "")
            if past.losses >= (part.job.max_lost or self._max_lost):
                self._quarantine(part, past)
                return
        pause = self._retries.pause(part, verdict, advice)
        if verdict is Verdict.REFUSED and pause is not None:
            past = part.past = losses.refused(part.past, attempt.agent.name)
            if all_refused(part, self._services.need(part.job.service)):
                pause = None
        if pause is None or self._clock.monotonic() + pause >= part.job.expires:
            self._verdicts.end(part, verdict, reason, frames, past)
        else:
            self._queue_again(part, attempt, verdict, reason, pause, past)

    def _quarantine(self, part: Part, past: Past) -> None:
        if not part.job.volatile:
            said = losses.described(past)
            data = {"losses": said["losses"], "evidence": said["evidence"]}
            self._events.record(
                "part.quarantined", part.job.number, part.number, part.made, part.agent, data
            )
        self._verdicts.end(part, Verdict.QUARANTINED, losses.sentence(past), past=past)

    def _queue_again(
        self,
        part: Part,
        attempt: Attempt,
        verdict: Verdict,
        reason: str | None,
        pause: float,
        past: Past | None,
    ) -> None:
        part.attempt = None
        part.state = PartState.QUEUED
        job = part.job
        now = self._clock.monotonic()
        self._counters["parts_queued_again"] += 1
        if job.queue_limit is not None:
            part.queue_until = now + pause + job.queue_limit
        if not job.volatile:
            due = self._clock.wall() + pause if pause else None
            self._journal.append(PartQueued(part.number, due, past))
            self._events.record(
                f"part.{verdict.value}",
                job.number,
                part.number,
                attempt.number,
                attempt.agent.name,
                {"reason": reason, **({"due": due} if due else {})},
            )
        if pause:
            part.due = now + pause
            self._deliveries.hold(part)
        else:
            self._deliveries.place(part, first=True)

    def overdue(self, attempt: Attempt, now: float) -> None:
        """
        An attempt ran for too long.  If its part is to have another, its
        agent has to let go of it first.
        """
        part = attempt.part
        pause = None if part.cancelling else self._retries.pause(part, Verdict.TIMED_OUT)
        if pause is None or now + pause >= part.job.expires:
            self._verdicts.end(part, Verdict.TIMED_OUT, OVERDUE)
        else:
            attempt.overdue = True
            attempt.run_until = inf
            self._deliveries.watch(part, now)
        self._deliveries.stop(attempt)
