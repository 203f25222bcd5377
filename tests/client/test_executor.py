"""
Tests for L{jobroute.client.executor}.
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.client import Executor, Outcome
from jobroute.errors import BadProperty, JobFailed
from tests.client.faces import BlockingFace


class ExecutorTests(SynchronousTestCase):
    """
    Calls as futures, and so are stored jobs.
    """

    def setUp(self) -> None:
        """
        Make a broker.
        """
        self.face = BlockingFace()
        self.addCleanup(self.face.close)

    def executor(self, **more: Any) -> Executor:
        """
        Make one.
        """
        executor = Executor(self.face.url, **{"timeout": 10.0, **more})
        self.addCleanup(executor.shutdown, cancel_futures=True)
        return executor

    def under_way(self, count: int) -> bool:
        """
        Wait until so many jobs are.
        """
        return self.face.settle(lambda: len(self.face.broker.jobs) == count)

    def cancelled(self) -> bool:
        """
        Wait until all jobs are cancelled.
        """
        return self.face.settle(
            lambda: {job["verdict"] for job in self.face.broker.jobs.values()} == {"cancelled"}
        )

    def test_as_completed(self) -> None:
        """
        Futures have outcomes, and Python's own functions know them.
        """
        for durable in (False, True):
            with self.executor(durable=durable) as executor:
                futures = {
                    executor.submit("echo", b"%d" % n, header={"n": n}): n for n in range(20)
                }
                for future in concurrent.futures.as_completed(futures, timeout=10):
                    self.assertEqual(future.result().data, b"%d" % futures[future])
        self.assertEqual(len(self.face.broker.of("CALL")), 20)
        self.assertEqual(len(self.face.broker.of("SUBMIT")), 20)

    def test_failed(self) -> None:
        """
        A job that did not succeed is the future's error, and so is one that
        was refused.
        """
        with self.executor() as executor:
            error = executor.submit("fail").exception(10)
            self.assertIsInstance(error, JobFailed)
            self.assertIn("It broke.", str(error))
            refused = executor.submit("echo", target="a1").exception(10)
            self.assertIsInstance(refused, BadProperty)

    def test_map(self) -> None:
        """
        Outcomes come in order; several iterables are several frames.
        """
        with self.executor(window=3) as executor:
            payloads = [b"%d" % n for n in range(20)]
            outcomes = executor.map("echo", payloads, payloads[:7])
            self.assertEqual([o.frames for o in outcomes], [(p, p) for p in payloads[:7]])
            self.assertEqual(list(executor.map("echo", [])), [])

    def test_map_window(self) -> None:
        """
        No more than the window is under way, and leaving cancels it.
        """
        executor = self.executor(window=3)
        outcomes = executor.map("hold", (b"x" for _ in range(1000)))
        self.assertTrue(self.under_way(3))
        outcomes.close()  # type: ignore[attr-defined]
        self.assertTrue(self.cancelled())
        self.assertEqual(len(self.face.broker.jobs), 3)

    def test_map_left(self) -> None:
        """
        Leaving a map early cancels what is under way.
        """
        executor = self.executor(window=2)
        outcomes = executor.map("hold", [b"x"] * 5, timeout=0.2)
        self.assertTrue(self.under_way(2))
        self.assertRaises(TimeoutError, next, outcomes)
        self.assertTrue(self.cancelled())

    def test_cancel(self) -> None:
        """
        Cancelling a future cancels its job though it runs.
        """
        for durable in (False, True):
            self.face.broker.jobs.clear()
            executor = self.executor(durable=durable)
            future = executor.submit("hold")
            self.assertTrue(self.under_way(1))
            self.assertTrue(future.cancel())
            self.assertTrue(self.cancelled())

    def test_exception(self) -> None:
        """
        An exception in a C{with} cancels everything.
        """

        def broken() -> None:
            with self.executor() as executor:
                executor.submit("hold")
                self.under_way(1)
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, broken)
        self.assertTrue(self.cancelled())

    def test_shutdown(self) -> None:
        """
        What was handed in is done first, nothing is taken afterwards, and
        the thread ends.
        """
        threads = threading.active_count()
        executor = self.executor()
        future = executor.submit("hold")
        self.assertTrue(self.under_way(1))
        executor.shutdown(wait=False)
        self.assertRaises(RuntimeError, executor.submit, "echo")
        self.assertFalse(future.done())
        self.face.release("1")
        executor.shutdown()
        self.assertIsInstance(future.result(0), Outcome)
        self.assertEqual(threading.active_count(), threads)

    def test_never_used(self) -> None:
        """
        One that was not used starts no thread.
        """
        threads = threading.active_count()
        executor = self.executor()
        self.assertEqual(threading.active_count(), threads)
        executor.shutdown()

    def test_bad_arguments(self) -> None:
        """
        A function is no service, and a window has a size.
        """
        executor = self.executor()
        self.assertRaises(TypeError, executor.submit, print)
        for window in (0, True, 1.5):
            self.assertRaises(BadProperty, self.executor, window=window)
