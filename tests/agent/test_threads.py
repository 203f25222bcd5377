"""
Tests of the threads in which functions run.
"""

from __future__ import annotations

from threading import Event, Lock, current_thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.threads import Threads

#: Seconds; nothing here takes long unless it is broken.
LIMIT = 10


class ThreadsTests(SynchronousTestCase):
    """
    A few threads.
    """

    def setUp(self) -> None:
        """
        Make two.
        """
        self.threads = Threads(2, "test")
        self.addCleanup(self.threads.stop)

    def test_at_once(self) -> None:
        """
        Two run at once, and a third when one of them is done.
        """
        events = [Event() for _ in range(3)]
        release = [Event() for _ in range(3)]
        for number in range(3):

            def work(number: int = number) -> None:
                events[number].set()
                release[number].wait(LIMIT)

            self.threads.run(work)
        self.assertTrue(events[0].wait(LIMIT) and events[1].wait(LIMIT))
        self.assertFalse(events[2].is_set())
        release[1].set()
        self.assertTrue(events[2].wait(LIMIT))
        for event in release:
            event.set()

    def test_reused(self) -> None:
        """
        An idle thread is used again before another is started.
        """
        names = set()
        for _ in range(20):
            done = Event()

            def work(done: Event = done) -> None:
                names.add(current_thread().name)
                done.set()

            self.threads.run(work)
            self.assertTrue(done.wait(LIMIT))
        self.assertLessEqual(len(names), 2)

    def test_stop(self) -> None:
        """
        When they are stopped they end.
        """
        found: list[Any] = []
        ready = Event()

        def work() -> None:
            found.append(current_thread())
            ready.set()

        self.threads.run(work)
        self.assertTrue(ready.wait(LIMIT))
        self.threads.stop()
        found[0].join(LIMIT)
        self.assertFalse(found[0].is_alive())
        self.assertTrue(found[0].daemon)

    def test_many(self) -> None:
        """
        Each piece of work is done once.
        """
        done: list[int] = []
        lock, last = Lock(), Event()

        def work(number: int) -> None:
            with lock:
                done.append(number)
                if len(done) == 500:
                    last.set()

        for number in range(500):
            self.threads.run(lambda number=number: work(number))  # type: ignore[misc]
        self.assertTrue(last.wait(LIMIT))
        self.assertEqual(sorted(done), list(range(500)))
