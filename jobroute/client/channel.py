# -*- test-case-name: tests.client.test_sockets -*-
"""
The sockets of a blocking client: one for each thread that uses it, so that no
thread waits for another.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar
from weakref import WeakSet

from jobroute.client.core import Core
from jobroute.client.pulse import HEARTBEAT
from jobroute.client.request import Request
from jobroute.errors import Congested, NotConnected
from jobroute.interfaces import IClock
from jobroute.zeromq.plain import PlainDealer

T = TypeVar("T")

#: For how many seconds at most a thread does not look whether it shall end.
_SLICE = 0.5

#: How many messages are read before the time is looked at.
_BUDGET = 1000


class Channel:
    """
    One socket with its core.
    """

    def __init__(self, url: str, timeout: float, random: Random, clock: IClock) -> None:
        self._clock = clock
        self._core = Core(timeout, random)
        self._dealer = PlainDealer(url, heartbeat=HEARTBEAT)
        # Callbacks may ask, too, and a forgotten iterator may be closed by any thread.
        self._lock = threading.RLock()
        self._ending = False

    def __del__(self) -> None:
        """
        The thread ended before the client was closed.
        """
        if hasattr(self, "_dealer"):
            self._dealer.close()

    def ask(self, request: Request[T]) -> T:
        """
        Wait until a request has its outcome.

        @raise JobrouteError: if that is an error.
        """
        told: deque[tuple[Callable[[Any], object], Any]] = deque()
        if request.streams is not None:
            request.streams.tell = lambda callback, what: told.append((callback, what))
        with self._lock:
            self.send(request)
            try:
                while not request.done:
                    self.turn()
                    while told:
                        callback, what = told.popleft()
                        callback(what)
            except BaseException:
                self.abandon(request)
                raise
        return request.result()

    def send(self, request: Request[Any]) -> None:
        """
        Begin a request.
        """
        with self._lock:
            self._core.send(request, self._clock.monotonic())

    def abandon(self, request: Request[Any]) -> None:
        """
        Nobody waits for a request any more.
        """
        with self._lock:
            self._core.abandon(request)
            self._flush()

    def turn(self) -> None:
        """
        Wait until something happens, but not long.
        """
        with self._lock:
            if self._ending:
                self._end()
                return
            self._flush()
            moment = self._core.next_due()
            wait = _SLICE
            if moment is not None:
                wait = min(max(moment - self._clock.monotonic(), 0.0), _SLICE)
            frames = self._dealer.receive(wait)
            budget = _BUDGET
            while frames is not None:
                self._core.received(frames, self._clock.monotonic())
                budget -= 1
                frames = self._dealer.receive(0) if budget else None
            self._core.due(self._clock.monotonic())
            self._flush()

    def close(self) -> None:
        """
        Close the socket: now, or if another thread waits on it, very soon.
        """
        self._ending = True
        if self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def _end(self) -> None:
        self._core.close()
        self._flush()
        self._dealer.close()

    def _flush(self) -> None:
        while (frames := self._core.peek()) is not None:
            try:
                self._dealer.send(frames)
            except Congested:
                self._core.congested(self._clock.monotonic())
                return
            except NotConnected:
                return
            self._core.sent()


class Channels:
    """
    The channels of one client.
    """

    def __init__(self, url: str, timeout: float, random: Random, clock: IClock) -> None:
        self._arguments = (url, timeout, random, clock)
        self._process = os.getpid()
        self._mine = threading.local()
        self._all: WeakSet[Channel] = WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def mine(self) -> Channel:
        """
        This thread's.

        @raise NotConnected: if the client was closed, or belongs to another
            process.
        """
        if self._process != os.getpid():
            raise NotConnected(
                "This client belongs to the process that this one was forked from; make another."
            )
        if self._closed:
            raise NotConnected("The client was closed.")
        channel: Channel | None = getattr(self._mine, "channel", None)
        if channel is None:
            channel = Channel(*self._arguments)
            with self._lock:
                self._all.add(channel)
            self._mine.channel = channel
        return channel

    def close(self) -> None:
        """
        Close them all.  In a forked process, this does nothing.
        """
        if self._process != os.getpid():
            return
        self._closed = True
        with self._lock:
            channels = list(self._all)
        for channel in channels:
            channel.close()
