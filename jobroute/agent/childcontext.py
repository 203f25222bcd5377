# -*- test-case-name: tests.agent.test_child -*-
"""
What a function is given beside its payload when it runs in a child: the same
as in a thread, with the agent at the other end of a pipe.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from queue import SimpleQueue
from threading import Lock
from typing import Any

from attrs import define, field
from msgspec import Raw
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import formatEvent

from jobroute.agent import pipe
from jobroute.agent.attempts import Attempt
from jobroute.agent.context import Context, JobLog, encode_progress
from jobroute.agent.inputs import Inputs
from jobroute.config import Limits
from jobroute.errors import Busy, Cancelled
from jobroute.interfaces import Delivery
from jobroute.model import Frames

Send = Callable[[pipe.FromChild], None]


class ChildInputs(Inputs):
    """
    Inputs that stay with the agent until they are asked for.
    """

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._asking = Lock()
        self._wanted = False

    def wait(self, timeout: float | None = None) -> Frames:
        """
        As in a thread.
        """
        with self._asking:
            wanted, self._wanted = self._wanted, True
        if not wanted:
            self._send(pipe.Want())
        return super().wait(timeout)

    def _take(self) -> Frames:
        self._wanted = False
        return super()._take()


@define
class ChildLog(JobLog):
    """
    A log that the agent writes.
    """

    _send: Send

    def emit(self, level: Any, format: str, **fields: object) -> None:
        """
        Have the agent log something.
        """
        text = formatEvent({"log_format": format, **fields})
        self._send(pipe.Log(level.name, text))


@define(eq=False)
class _Host:
    """
    Tells the agent how far the function is.

    One value is on its way at a time, so that a function that says many
    drowns nobody.
    """

    _send: Send
    _answers: dict[int, SimpleQueue[pipe.Took]] = field(factory=dict, init=False)
    _numbers: count[int] = field(factory=lambda: count(1), init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _saying: bool = field(default=False, init=False)
    _next: Raw | None = field(default=None, init=False)

    def progress(self, attempt: Attempt, value: Raw) -> None:
        """
        It got so far.
        """
        with self._lock:
            if self._saying:
                self._next = value
                return
            self._saying = True
        self._send(pipe.Progress(bytes(value)))

    def partial(self, attempt: Attempt, payload: Frames) -> Deferred[None]:
        """
        It has a partial result: wait until there was room for it.
        """
        number = next(self._numbers)
        answer: SimpleQueue[pipe.Took] = SimpleQueue()
        self._answers[number] = answer
        self._send(pipe.Partial(number, list(payload)))
        took = answer.get()
        if not took.code:
            return succeed(None)
        error = Busy if took.code == Busy.code else Cancelled
        return fail(error(took.error))

    def took(self, took: pipe.Took) -> None:
        """
        The agent answers.
        """
        if took.number:
            answer = self._answers.pop(took.number, None)
            if answer is not None:
                answer.put(took)
            return
        with self._lock:
            value, self._next = self._next, None
            self._saying = value is not None
        if value is not None:
            self._send(pipe.Progress(bytes(value)))


class ChildContext(Context):
    """
    One attempt as its function sees it, in a child.
    """

    _host: _Host

    def __init__(self, attempt: Attempt, limits: Limits, send: Send) -> None:
        super().__init__(attempt, _Host(send), limits)
        self._send = send
        self._inputs = ChildInputs(send)

    @classmethod
    def of(cls, work: pipe.Work, limits: Limits, send: Send) -> ChildContext:
        """
        Of what the agent gave.
        """
        delivery = Delivery(
            work.part,
            work.attempt,
            work.job,
            work.index,
            work.service,
            work.header,
            work.run_limit,
            False,
            tuple(work.payload),
        )
        return cls(Attempt(delivery), limits, send)

    @property
    def log(self) -> JobLog:
        """
        A log whose entries name the job.
        """
        return ChildLog(self._held.delivery, self._send)

    def progress(self, value: Any) -> None:
        """
        As in a thread.
        """
        self._host.progress(self._held, encode_progress(value, self._limits))

    def partial(self, *frames: Any) -> Any:
        """
        As in a thread: it blocks until there is room, and raises what is
        wrong.
        """
        taken = self._host.partial(self._held, self._payload(frames))
        failures: list[Any] = []
        taken.addErrback(failures.append)
        for failure in failures:
            failure.raiseException()

    def received(self, message: pipe.ToChild) -> None:
        """
        The agent said something; called in the thread that reads.
        """
        if isinstance(message, pipe.Took):
            self._host.took(message)
        elif isinstance(message, pipe.Input):
            assert self._inputs is not None
            self._inputs.put(tuple(message.payload))
