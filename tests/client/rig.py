"""
A client core and a broker, with nothing between them but a test.
"""

from __future__ import annotations

from random import Random
from typing import Any

from zope.interface import implementer

from jobroute.client.asking import Asking
from jobroute.client.core import Core
from jobroute.client.request import Request
from jobroute.client.specs import JobSpec
from jobroute.interfaces import IClock
from tests.client.broker import FakeBroker


@implementer(IClock)
class StoppedClock:
    """
    Both clocks, which a test moves.
    """

    now = 1000.0

    def monotonic(self) -> float:
        """
        Seconds.
        """
        return self.now

    def wall(self) -> float:
        """
        Seconds since 1970.
        """
        return 1_700_000_000.0 + self.now


class Rig:
    """
    A core and a broker, and the two pipes between them.
    """

    def __init__(self, timeout: float = 30.0, seed: int = 1, **limits: int) -> None:
        self.clock = StoppedClock()
        random = Random(seed)
        self.core = Core(timeout, random, **limits)
        self.asking = Asking("default", None, timeout, random, self.clock)
        self.broker = FakeBroker(self._answer)
        self.alive = True
        self.answers: list[list[bytes]] = []
        self.finished: list[Request[Any]] = []

    def _answer(self, frames: list[bytes]) -> None:
        assert frames[0] == b"client"
        self.answers.append(frames[1:])

    def send(self, request: Request[Any]) -> Request[Any]:
        """
        Begin a request.
        """
        request.finished = self.finished.append
        self.core.send(request, self.clock.now)
        return request

    def outgoing(self) -> list[list[bytes]]:
        """
        What the client sends.
        """
        sent = []
        while (frames := self.core.peek()) is not None:
            sent.append(frames)
            self.core.sent()
        return sent

    def exchange(self) -> None:
        """
        Carry everything to and fro.  Requests to a dead broker are lost.
        """
        while sent := self.outgoing():
            for frames in sent:
                if self.alive:
                    self.broker.received([b"client", *frames])
            self.deliver()

    def deliver(self) -> None:
        """
        Carry the answers.
        """
        answers, self.answers = self.answers, []
        for frames in answers:
            self.core.received(frames, self.clock.now)

    def advance(self, seconds: float) -> None:
        """
        Let time pass, everything done when it is due.
        """
        end = self.clock.now + seconds
        self.exchange()
        for _ in range(10_000):
            due = self.core.next_due()
            if due is None or due > end:
                break
            self.clock.now = max(self.clock.now, due)
            self.core.due(self.clock.now)
            self.exchange()
        else:
            raise AssertionError("next_due does not advance")
        self.clock.now = end

    def call(self, service: str = "echo", *frames: bytes, **more: Any) -> Request[Any]:
        """
        Begin a call.
        """
        given = {"timeout": None, "retry": False, **more}
        callbacks = given.pop("callbacks", (None, None, None))
        spec = JobSpec(service=service, payload=frames)
        return self.send(self.asking.call(spec, callbacks, **given))

    def submit(self, service: str = "echo", **more: Any) -> Request[Any]:
        """
        Begin a submission.
        """
        given = {"timeout": None, "retry": False, **more}
        spec = JobSpec(service=service, job=given.pop("job", None))
        return self.send(self.asking.submit(spec, **given))
