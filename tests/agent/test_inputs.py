"""
Tests of what clients send to a running part.
"""

from __future__ import annotations

from threading import Thread

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.inputs import MAX_BYTES, MAX_INPUTS, Inputs
from jobroute.errors import Cancelled


class InputsTests(SynchronousTestCase):
    """
    Inputs that come before or after somebody wants them.
    """

    def setUp(self) -> None:
        """
        Make one.
        """
        self.inputs = Inputs()

    def test_in_order(self) -> None:
        """
        They come out as they came in, waited for or not.
        """
        first = self.inputs.get()
        self.assertNoResult(first)
        for frame in (b"a", b"b", b"c"):
            self.assertTrue(self.inputs.put((frame,)))
        self.assertEqual(self.successResultOf(first), (b"a",))
        self.assertEqual(self.successResultOf(self.inputs.get()), (b"b",))
        self.assertEqual(self.inputs.wait(), (b"c",))

    def test_iteration(self) -> None:
        """
        A coroutine can iterate.
        """

        async def two() -> list[bytes]:
            found = []
            async for (frame,) in self.inputs:
                found.append(frame)
                if len(found) == 2:
                    break
            return found

        done = Deferred.fromCoroutine(two())
        self.inputs.put((b"a",))
        self.inputs.put((b"b",))
        self.assertEqual(self.successResultOf(done), [b"a", b"b"])

    def test_timeout(self) -> None:
        """
        A thread waits no longer than it says.
        """
        self.assertRaises(TimeoutError, self.inputs.wait, 0.001)

    def test_thread(self) -> None:
        """
        A thread that waits gets what comes, and is told of the end.
        """
        found: list[object] = []

        def work() -> None:
            found.append(self.inputs.wait(10))
            try:
                self.inputs.wait(10)
            except Cancelled as e:
                found.append(e)

        thread = Thread(target=work)
        thread.start()
        self.inputs.put((b"a",))
        self.inputs.close()
        thread.join(10)
        self.assertEqual(found[0], (b"a",))
        self.assertIsInstance(found[1], Cancelled)

    def test_closed(self) -> None:
        """
        After the end nothing comes in, who waits is told, and so is who
        comes later; what was there can still be had.
        """
        waiting = self.inputs.get()
        self.inputs.close()
        self.failureResultOf(waiting, Cancelled)
        self.assertFalse(self.inputs.put((b"a",)))
        self.failureResultOf(self.inputs.get(), Cancelled)
        self.assertRaises(Cancelled, self.inputs.wait)
        other = Inputs()
        other.put((b"a",))
        other.close()
        self.assertEqual(other.wait(), (b"a",))

    def test_cancelled_wait(self) -> None:
        """
        Who gives up waiting takes no input from others.
        """
        first, second = self.inputs.get(), self.inputs.get()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.inputs.put((b"a",))
        self.assertEqual(self.successResultOf(second), (b"a",))

    def test_limits(self) -> None:
        """
        There is room for so many, and for so many bytes.
        """
        taken = sum(self.inputs.put((b"x",)) for _ in range(MAX_INPUTS + 1))
        self.assertEqual(taken, MAX_INPUTS)
        other = Inputs()
        self.assertTrue(other.put((bytes(MAX_BYTES),)))
        self.assertFalse(other.put((b"x",)))
        other.wait()
        self.assertTrue(other.put((b"x",)))
