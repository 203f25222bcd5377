# -*- test-case-name: tests.agent.test_performer -*-
"""
Where functions run, and how they are stopped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from jobroute.agent.attempts import Attempt
from jobroute.agent.context import Context, Host, ThreadContext, check_size
from jobroute.agent.functions import Failed, Function, Lost, Refuse, clip, encode_frames, reason
from jobroute.config import Limits
from jobroute.errors import Cancelled, JobrouteError
from jobroute.log import Logger
from jobroute.model import Advice, Frames

#: The kind of a final reply, its frames, the reason, and advice.
_Outcome = tuple[str, Frames, str, Advice | None]


class Pool(Protocol):
    """
    Where functions run that block.
    """

    def run(self, work: Callable[[], None]) -> None:
        """
        Do this in a thread.
        """

    def stop(self) -> None:
        """
        Let the threads end when they have nothing to do.
        """


class Finished(Protocol):
    """
    Who is told what became of an attempt, in the reactor.
    """

    def __call__(
        self,
        attempt: Attempt,
        kind: str,
        payload: Frames,
        reason: str,
        advice: Advice | None = None,
    ) -> None:
        """
        It is over: C{result}, C{failure}, C{refused}, C{lost} or
        C{cancelled}.

        @param advice: what the function says of another attempt.
        """


@define
class _Running:
    context: Context
    deferred: Deferred[Any] | None = None


@define(eq=False)
class Performer:
    """
    Runs the functions of one incarnation.
    """

    _log = Logger()

    _functions: dict[str, Function]
    _reactor: IReactorFromThreads
    _pool: Pool
    _host: Host
    _finished: Finished
    _limits: Limits
    _running: dict[Attempt, _Running] = field(factory=dict, init=False)

    def start(self, attempt: Attempt) -> None:
        """
        Begin; raises nothing.
        """
        function = self._functions[attempt.delivery.service]
        if function.threaded:
            context = ThreadContext(attempt, self._host, self._limits, self._reactor)
            self._running[attempt] = _Running(context)
            self._pool.run(lambda: self._in_thread(function, attempt, context))
        else:
            self._in_reactor(function, attempt)

    def cancel(self, attempt: Attempt) -> None:
        """
        Stop it: a Deferred is cancelled, a thread only told.
        """
        running = self._running.get(attempt)
        if running is None:
            return
        running.context.cancel()
        if running.deferred is not None:
            try:
                running.deferred.cancel()
            except Exception:
                self._log.failure("A canceller of {service} failed.", **_names(attempt))

    def cancel_all(self) -> None:
        """
        Stop everything.
        """
        for attempt in list(self._running):
            self.cancel(attempt)

    def input(self, attempt: Attempt, payload: Frames) -> None:
        """
        Give it an input.
        """
        running = self._running.get(attempt)
        if running is not None and not running.context.inputs.put(payload):
            self._log.warn(
                "An input to {job_id} was dropped: {service} does not read them.",
                **_names(attempt),
            )

    # -- In the reactor

    def _in_reactor(self, function: Function, attempt: Attempt) -> None:
        context = Context(attempt, self._host, self._limits)
        running = self._running[attempt] = _Running(context)
        try:
            value = function.perform(context.frames, context)
        except BaseException:
            self._end(attempt, *self._failed(attempt, context, Failure()))
            return
        if inspect.iscoroutine(value):
            value = Deferred.fromCoroutine(value)
        if not isinstance(value, Deferred):
            self._end(attempt, *self._succeeded(attempt, context, value))
            return
        running.deferred = value
        value.addCallbacks(
            lambda v: self._end(attempt, *self._succeeded(attempt, context, v)),
            lambda f: self._end(attempt, *self._failed(attempt, context, f)),
        )
        value.addErrback(self._bug, attempt)

    def _bug(self, failure: Failure, attempt: Attempt) -> None:
        self._log.failure("The end of {job_id} failed.", failure, **_names(attempt))

    # -- In a thread

    def _in_thread(self, function: Function, attempt: Attempt, context: Context) -> None:
        try:
            context.check()
            payload = encode_frames(function.perform(context.frames, context))
            check_size(payload, self._limits)
        except BaseException:
            # SystemExit too: it ends the function, not the agent.
            self._reactor.callFromThread(self._thread_failed, attempt, context, Failure())
        else:
            self._reactor.callFromThread(self._end, attempt, "result", payload, "")

    def _thread_failed(self, attempt: Attempt, context: Context, failure: Failure) -> None:
        self._end(attempt, *self._failed(attempt, context, failure))

    # -- Outcomes

    def _succeeded(self, attempt: Attempt, context: Context, value: Any) -> _Outcome:
        try:
            payload = encode_frames(value)
            check_size(payload, self._limits)
        except Exception:
            return self._failed(attempt, context, Failure())
        return "result", payload, "", None

    def _failed(self, attempt: Attempt, context: Context, failure: Failure) -> _Outcome:
        error = failure.value
        assert error is not None
        if context.cancelled and isinstance(error, Cancelled | CancelledError):
            return "cancelled", (), "", None
        advice = error.advice if isinstance(error, Failed) else None
        if isinstance(error, Refuse):
            return "refused", (), reason(error).removeprefix("Refuse: "), advice
        if isinstance(error, Failed | Lost):
            # Where it was raised says nothing of the function.
            self._log.warn(
                "{service} failed for part {part} of {job_id}, attempt {attempt}: {reason}",
                reason=error,
                **_names(attempt),
            )
            payload = error.payload if isinstance(error, Failed) else ()
            kind = "failure" if isinstance(error, Failed) else "lost"
            return kind, payload, clip(str(error) or type(error).__name__), advice
        level = LogLevel.warn if isinstance(error, JobrouteError) else LogLevel.error
        self._log.failure(
            "{service} failed for part {part} of {job_id}, attempt {attempt}.",
            failure,
            level=level,
            **_names(attempt),
        )
        return "failure", (), reason(error), advice

    def _end(
        self,
        attempt: Attempt,
        kind: str,
        payload: Frames,
        why: str,
        advice: Advice | None = None,
    ) -> None:
        running = self._running.pop(attempt, None)
        if running is None:
            return
        # Nobody reads them any more.
        running.context.cancel()
        self._finished(attempt, kind, payload, why, advice)


def _names(attempt: Attempt) -> dict[str, Any]:
    d = attempt.delivery
    return {"job_id": d.job, "part": d.part, "attempt": d.attempt, "service": d.service}
