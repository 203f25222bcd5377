"""
L{jobroute.client.parts}: what a last answer leaves out is not lost.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.client.outcomes import Outcome, PartOutcome
from jobroute.client.parts import Parts
from jobroute.model import Verdict


def part(index: int, *frames: bytes, omitted: bool = False) -> PartOutcome:
    """
    A part that succeeded.
    """
    return PartOutcome(index, Verdict.SUCCEEDED, "a", 1, None, frames, omitted)


class PartsTests(SynchronousTestCase):
    """
    What was left out is put in.
    """

    def test_left_out(self) -> None:
        """
        Results that came with their parts stand in the outcome.
        """
        seen: list[int] = []
        parts = Parts("all", lambda one: seen.append(one.index))
        assert parts.on_part is not None
        parts.on_part(part(1, b"one"))
        parts.on_part(part(0, b"zero"))
        outcome = Outcome(
            "j", 1, {Verdict.SUCCEEDED: 2}, (part(0, omitted=True), part(1, omitted=True))
        )
        found = parts.complete(outcome)
        self.assertEqual([one.frames for one in found.parts], [(b"zero",), (b"one",)])
        self.assertEqual(seen, [1, 0])

    def test_single(self) -> None:
        """
        A call of one part need stream nothing.
        """
        self.assertIsNone(Parts("any", None).on_part)
