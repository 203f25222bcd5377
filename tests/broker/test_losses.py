"""
Tests of L{jobroute.broker.losses}.
"""

from __future__ import annotations

from msgspec import Raw
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.losses import OUTPUT, clipped, described, refused, sentence
from jobroute.model import Loss, Past


class LossesTests(SynchronousTestCase):
    """
    What is kept, and said.
    """

    def test_clipped(self) -> None:
        """
        A frame or JSON, not all of it.
        """
        self.assertEqual(clipped(b"abc"), b"abc")
        self.assertEqual(clipped(Raw(b'{"a": 1}')), b'{"a": 1}')
        self.assertEqual(clipped(0.5), b"0.5")
        self.assertEqual(clipped(b"x" * (OUTPUT + 1)), b"x" * OUTPUT)

    def test_refused(self) -> None:
        """
        Who refused is named once.
        """
        past = refused(refused(refused(None, "a"), "b"), "a")
        self.assertEqual(past, Past(refused=("a", "b")))

    def test_sentence(self) -> None:
        """
        One agent, or many of which the latest are named.
        """
        first = Loss("a", 1.0, 1, 1, "Gone.")
        self.assertEqual(
            sentence(Past(1, (first,))), "It has cost 1 agent its life, the latest a (attempt 1)."
        )
        many = tuple(Loss(f"a{n}", 1.0, 1, n, "Gone.", "out") for n in range(1, 8))
        self.assertEqual(
            sentence(Past(20, many)),
            "It has cost 20 agents their lives, the latest a3 (attempt 3), a4 (attempt 4), "
            "a5 (attempt 5), a6 (attempt 6), a7 (attempt 7). The last that it said: out",
        )

    def test_described(self) -> None:
        """
        Nothing, or everything.
        """
        self.assertEqual(described(None), {"losses": 0, "evidence": [], "refused": []})
        said = described(Past(1, (Loss("a", 1.0, 2, 3, "Gone.", "out"),), ("b",)))
        loss = {
            "agent": "a",
            "at": 1.0,
            "job": 2,
            "attempt": 3,
            "reason": "Gone.",
            "output": "out",
        }
        self.assertEqual(said, {"losses": 1, "evidence": [loss], "refused": ["b"]})
