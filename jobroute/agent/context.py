# -*- test-case-name: tests.agent.test_performer -*-
"""
What a service function is given beside its payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from attrs import define
from msgspec import Raw
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import LogLevel

from jobroute.agent.attempts import Attempt
from jobroute.agent.functions import encode_frames
from jobroute.agent.inputs import Inputs
from jobroute.config import Limits
from jobroute.errors import Cancelled, TooLarge
from jobroute.interfaces import Delivery
from jobroute.log import Logger
from jobroute.model import Frames
from jobroute.wire import text

_log = Logger(namespace="jobroute.agent.function")
_encode = msgspec.json.Encoder().encode

#: What a message has beside progress or payload.
_ENVELOPE = 1024


class Host(Protocol):
    """
    Who takes what a function says, in the reactor.
    """

    def progress(self, attempt: Attempt, value: Raw) -> None:
        """
        It got so far.
        """

    def partial(self, attempt: Attempt, payload: Frames) -> Deferred[None]:
        """
        It has a partial result.

        @return: fires when there was room for it.
        """


def check_size(payload: Frames, limits: Limits) -> None:
    """
    See whether the broker will take this payload.

    @raise TooLarge: if not.
    """
    if len(payload) >= limits.frames:
        raise TooLarge(f"{len(payload)} frames are over the limit of {limits.frames - 1}.")
    size = sum(map(len, payload))
    if size + _ENVELOPE > limits.message:
        raise TooLarge(f"{size} bytes are over the limit of {limits.message - _ENVELOPE}.")


def encode_progress(value: Any, limits: Limits) -> Raw:
    """
    Progress as JSON.

    @raise TooLarge: if the broker would not take it.
    @raise TypeError: if JSON cannot say it.
    """
    encoded = _encode(value)
    if len(encoded) + _ENVELOPE > limits.header:
        raise TooLarge(f"{len(encoded)} bytes of progress are over the limit.")
    text.check(encoded, limits.depth - 2)
    return Raw(encoded)


@define
class JobLog:
    """
    A log whose entries name the job.
    """

    _delivery: Delivery

    def debug(self, format: str, **fields: object) -> None:
        """
        Log something for who looks for an error.
        """
        self.emit(LogLevel.debug, format, **fields)

    def info(self, format: str, **fields: object) -> None:
        """
        Log something.
        """
        self.emit(LogLevel.info, format, **fields)

    def warn(self, format: str, **fields: object) -> None:
        """
        Log something that may be wrong.
        """
        self.emit(LogLevel.warn, format, **fields)

    def error(self, format: str, **fields: object) -> None:
        """
        Log something that is wrong.
        """
        self.emit(LogLevel.error, format, **fields)

    def emit(self, level: Any, format: str, **fields: object) -> None:
        """
        Log something of any level.
        """
        d = self._delivery
        names = {"job_id": d.job, "part": d.part, "attempt": d.attempt, "service": d.service}
        _log.emit(level, format, **{**names, **fields})


class Context:
    """
    One attempt as its function sees it, in the reactor.

    @ivar job: the job's id.
    @ivar index: which part of the job it is, from 0.
    @ivar part: the part's number.
    @ivar attempt: which attempt at the part it is, from 1.
    @ivar service: the service.
    @ivar frames: the payload, all frames of it.
    @ivar run_limit: how many seconds the attempt may take, or L{None}.
    @ivar delivery: all that the broker gave, as it gave it.
    @ivar cancelled: whether it is to stop; may be read in any thread.
    @ivar inputs: what clients send to the part.
    @ivar log: a log whose entries name the job.
    """

    def __init__(self, attempt: Attempt, host: Host, limits: Limits) -> None:
        delivery = self.delivery = attempt.delivery
        self._held = attempt
        self._host = host
        self._limits = limits
        self._inputs: Inputs | None = None
        self.cancelled = False
        self.job = delivery.job
        self.index = delivery.index
        self.part = delivery.part
        self.attempt = delivery.attempt
        self.service = delivery.service
        self.frames = delivery.payload
        self.run_limit = delivery.run_limit

    @property
    def header(self) -> Any:
        """
        The job's header.
        """
        return msgspec.json.decode(self._held.delivery.header)

    @property
    def inputs(self) -> Inputs:
        """
        What clients send to the part.
        """
        if self._inputs is None:
            self._inputs = Inputs()
            if self.cancelled:
                self._inputs.close()
        return self._inputs

    @property
    def log(self) -> JobLog:
        """
        A log whose entries name the job.
        """
        return JobLog(self._held.delivery)

    def check(self) -> None:
        """
        Do nothing, unless the part is cancelled.

        @raise jobroute.errors.Cancelled: if it is; let it pass.
        """
        if self.cancelled:
            raise Cancelled("The part was cancelled.")

    def progress(self, value: Any) -> None:
        """
        Say how far the work is, with any JSON value.  Only the latest
        counts: what is said faster than it can be sent is left out.

        @raise TypeError: if JSON cannot say it.
        @raise TooLarge: if the broker would not take it.
        """
        self._host.progress(self._held, encode_progress(value, self._limits))

    def partial(self, *frames: Any) -> Deferred[None]:
        """
        Hand in a partial result: frames as a function returns them.

        In a thread this blocks until there is room for it.

        @return: fires when there was room for it; wait for that.  Fails with
            L{jobroute.errors.Cancelled} when the part is cancelled, and with
            L{TooLarge} if the broker would not take it.
        """
        try:
            payload = self._payload(frames)
        except (TypeError, TooLarge, Cancelled) as e:
            return fail(e)
        return self._host.partial(self._held, payload)

    def cancel(self) -> None:
        """
        Let the function know that it is to stop; called in the reactor.
        """
        self.cancelled = True
        if self._inputs is not None:
            self._inputs.close()

    def _payload(self, frames: tuple[Any, ...]) -> Frames:
        self.check()
        payload = encode_frames(frames)
        check_size(payload, self._limits)
        return payload


class ThreadContext(Context):
    """
    One attempt as its function sees it, in a thread.
    """

    def __init__(
        self, attempt: Attempt, host: Host, limits: Limits, reactor: IReactorFromThreads
    ) -> None:
        super().__init__(attempt, host, limits)
        self._reactor = reactor
        self._latest = Raw(b"null")
        self._scheduled = False
        # Made here, so that both threads see the same.
        self._inputs = Inputs()

    def progress(self, value: Any) -> None:
        """
        As in the reactor.
        """
        # In this order, and the other way round there: no value is left lying.
        self._latest = encode_progress(value, self._limits)
        if not self._scheduled:
            self._scheduled = True
            self._reactor.callFromThread(self._say_progress)

    def _say_progress(self) -> None:
        self._scheduled = False
        self._host.progress(self._held, self._latest)

    def partial(self, *frames: Any) -> Any:
        """
        As in the reactor, but it blocks until there is room, and raises what
        there the Deferred fails with.
        """
        payload = self._payload(frames)
        call: Callable[..., Any] = self._host.partial
        blockingCallFromThread(self._reactor, call, self._held, payload)
