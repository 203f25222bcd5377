# -*- test-case-name: tests.agent.test_threads -*-
"""
The threads in which functions run that would block the reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread


class Threads:
    """
    At most so many threads, started when they are needed.

    They are daemons: a function that never returns must not keep the
    process from ending, nor can anybody end it.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = Lock()
        self._started = 0
        self._pending = 0
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run(self, work: Callable[[], None]) -> None:
        """
        Do this in a thread; C{work} raises nothing.
        """
        with self._lock:
            self._pending += 1
            more = self._started < self._most and self._pending > self._started
            if more:
                self._started += 1
        self._queue.put(work)
        if more:
            name = f"{self._name}-{self._started}"
            Thread(target=self._loop, name=name, daemon=True).start()

    def stop(self) -> None:
        """
        Let each thread end when it has nothing to do any more.
        """
        with self._lock:
            started, self._most = self._started, 0
        for _ in range(started):
            self._queue.put(None)

    def _loop(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            finally:
                with self._lock:
                    self._pending -= 1
