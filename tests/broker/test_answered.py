"""
L{jobroute.broker.answered}: bounded in number, bytes and time.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.answered import Answered


class AnsweredTests(SynchronousTestCase):
    """
    What is remembered, and for how long.
    """

    def test_number(self) -> None:
        """
        The oldest goes when there are too many.
        """
        answered = Answered(most=2)
        for key in "abc":
            answered.put(key, {"job": key}, (b"x",), 0.0)
        self.assertEqual([answered.get(key) is None for key in "abc"], [True, False, False])
        self.assertEqual(answered.get("c"), ({"job": "c"}, (b"x",)))

    def test_bytes(self) -> None:
        """
        The oldest go when they are too large together; what is too large by
        itself is not remembered.
        """
        answered = Answered(most_bytes=10)
        answered.put("a", {}, (b"x" * 6,), 0.0)
        answered.put("b", {}, (b"x" * 3, b"x" * 2), 0.0)
        answered.put("c", {}, (b"x" * 11,), 0.0)
        self.assertEqual([answered.get(key) is None for key in "abc"], [True, False, True])

    def test_again(self) -> None:
        """
        What is put again counts once.
        """
        answered = Answered(most_bytes=10)
        for _ in range(5):
            answered.put("a", {}, (b"x" * 6,), 0.0)
        answered.put("b", {}, (b"x" * 4,), 0.0)
        self.assertEqual([answered.get(key) is None for key in "ab"], [False, False])

    def test_time(self) -> None:
        """
        They go in time, and leave nothing behind.
        """
        answered = Answered(keep=5.0)
        answered.put("a", {}, (b"x",), 0.0)
        answered.put("b", {}, (b"x",), 1.0)
        answered.purge(5.0)
        self.assertEqual([answered.get(key) is None for key in "ab"], [True, False])
        answered.purge(6.0)
        self.assertEqual(len(answered), 0)
