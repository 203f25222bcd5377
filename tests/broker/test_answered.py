"""
L{jobroute.broker.answered}: bounded in number, bytes and time.
"""

from __future__ import annotations

from typing import Any

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
        answered = Answered(most_bytes=10_000)
        answered.put("a", {}, (b"x" * 6_000,), 0.0)
        answered.put("b", {}, (b"x" * 3_000, b"x" * 2_000), 0.0)
        answered.put("c", {}, (b"x" * 11_000,), 0.0)
        self.assertEqual([answered.get(key) is None for key in "abc"], [True, False, True])

    def test_reasons(self) -> None:
        """
        What an outcome says takes memory as well.
        """
        answered = Answered(most_bytes=10_000)
        for key in "abc":
            outcome = {"parts": [{"index": 0, "frames": 0, "reason": "x" * 3_500}]}
            answered.put(key, outcome, (), 0.0)
        self.assertEqual([answered.get(key) is None for key in "abc"], [True, False, False])

    def test_left_out(self) -> None:
        """
        Where an outcome has to be known, its result alone is forgotten: that
        of one too large by itself, and the oldest of many.
        """
        answered = Answered(most_bytes=10_000, omit=True)
        parts: list[dict[str, Any]] = [{"index": 0, "frames": 1}, {"index": 1, "frames": 0}]
        for key, size in (("a", 11_000), ("b", 3_000), ("c", 3_000)):
            answered.put(key, {"job": key, "parts": parts}, (b"x" * size,), 0.0)
        left = [{"index": 0, "frames": 0, "omitted": True}, {"index": 1, "frames": 0}]
        self.assertEqual(answered.get("a"), ({"job": "a", "parts": left}, ()))
        self.assertEqual(answered.get("b"), ({"job": "b", "parts": left}, ()))
        self.assertEqual(answered.get("c"), ({"job": "c", "parts": parts}, (b"x" * 3_000,)))
        answered.purge(100.0)
        self.assertEqual((len(answered), len(answered._whole), answered._size), (0, 0, 0))

    def test_again(self) -> None:
        """
        What is put again counts once.
        """
        answered = Answered(most_bytes=10_000)
        for _ in range(5):
            answered.put("a", {}, (b"x" * 5_000,), 0.0)
        answered.put("b", {}, (b"x" * 3_000,), 0.0)
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
