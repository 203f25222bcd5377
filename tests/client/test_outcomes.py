"""
Tests for L{jobroute.client.outcomes}, L{jobroute.client.reading} and
L{jobroute.client.refusals}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute import errors
from jobroute.client import reading
from jobroute.client.outcomes import Outcome, PartOutcome
from jobroute.client.refusals import BY_CODE, refusal
from jobroute.errors import BadMessage, CommandError, JobFailed, Refused
from jobroute.model import Verdict

READERS: list[Callable[[Any, tuple[bytes, ...]], Any]] = [
    reading.read_dict,
    reading.read_why,
    reading.read_submitted,
    reading.read_part,
    reading.read_progress,
    reading.read_partial,
    reading.read_cancelling,
    reading.read_page,
    lambda value, frames: reading.read_epoch(value),
    lambda value, frames: reading.read_submitted_many(value, 2),
    lambda value, frames: reading.read_outcome(value, frames, {}),
]


def outcome(*parts: PartOutcome) -> Outcome:
    """
    An outcome with these parts.
    """
    return Outcome("j", 1, {}, parts)


class OutcomeTests(SynchronousTestCase):
    """
    What an outcome says.
    """

    good = PartOutcome(0, Verdict.SUCCEEDED, "a1", 1, None, (b"x",))
    bad = PartOutcome(1, Verdict.FAILED, "a2", 2, "It broke.")

    def test_one_part(self) -> None:
        """
        The result of the only part can be had at once.
        """
        one = outcome(self.good)
        self.assertTrue(one.succeeded)
        self.assertEqual((one.frames, one.data), ((b"x",), b"x"))
        self.assertIs(one.check(), one)

    def test_several(self) -> None:
        """
        If there are several parts or frames, one has to say which.
        """
        several = outcome(self.good, self.bad)
        self.assertRaises(ValueError, lambda: several.frames)
        self.assertRaises(ValueError, lambda: outcome(self.bad).data)

    def test_check(self) -> None:
        """
        The first part that did not succeed is named.
        """
        error = self.assertRaises(JobFailed, outcome(self.good, self.bad).check)
        assert isinstance(error, JobFailed)
        self.assertEqual((error.verdict, error.job), ("failed", "j"))
        self.assertEqual(
            str(error),
            "1 of 2 parts of job j did not succeed; part 1 ended as failed on agent a2: It broke.",
        )
        lost = PartOutcome(0, Verdict.EXPIRED)
        error = self.assertRaises(JobFailed, outcome(lost).check)
        self.assertEqual(str(error), "Job j ended as expired.")


class ReadingTests(SynchronousTestCase):
    """
    From answers to values.
    """

    def test_outcome(self) -> None:
        """
        The frames are given to the parts in order.
        """
        parts = [
            {"index": 0, "verdict": "succeeded", "agent": "a", "attempts": 1, "frames": 2},
            {"index": 1, "verdict": "lost", "attempts": 0, "frames": 0},
            {"index": 2, "verdict": "succeeded", "frames": 1},
        ]
        value = {"job": "j", "number": 1, "verdicts": {"succeeded": 2, "lost": 1}, "parts": parts}
        read = reading.read_outcome(value, (b"1", b"2", b"3"), {})
        self.assertEqual([p.frames for p in read.parts], [(b"1", b"2"), (), (b"3",)])
        self.assertEqual(read.verdicts[Verdict.LOST], 1)
        for frames in ((b"1", b"2"), (b"1", b"2", b"3", b"4")):
            self.assertRaises(BadMessage, reading.read_outcome, value, frames, {})

    def test_omitted(self) -> None:
        """
        A result that is left out is taken from the stream, if it was there.
        """
        part = {"index": 0, "verdict": "succeeded", "frames": 0, "omitted": True}
        value = {"job": "j", "number": 1, "parts": [part]}
        self.assertTrue(reading.read_outcome(value, (), {}).parts[0].omitted)
        streamed = PartOutcome(0, Verdict.SUCCEEDED, frames=(b"x",))
        self.assertEqual(reading.read_outcome(value, (), {0: streamed}).parts, (streamed,))

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["job", "jobs", "parts", "index", "verdict", "frames", "error"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=10,
        ),
        st.lists(st.binary(max_size=2), max_size=3),
    )
    def test_anything(self, value: Any, frames: list[bytes]) -> None:
        """
        Anything else is no message.
        """
        for read in READERS:
            try:
                read(value, tuple(frames))
            except BadMessage:
                continue


class RefusalTests(SynchronousTestCase):
    """
    From codes to exceptions.
    """

    def test_all(self) -> None:
        """
        Every error of a command has its class back.
        """
        for kind in vars(errors).values():
            if (
                isinstance(kind, type)
                and issubclass(kind, CommandError)
                and kind is not CommandError
            ):
                self.assertIs(BY_CODE[kind.code], kind)
                self.assertIs(type(refusal("No.", kind.code)), kind)

    def test_unknown(self) -> None:
        """
        A code that is not known is kept.
        """
        error = refusal("No.", "denied")
        self.assertIsInstance(error, Refused)
        self.assertEqual((str(error), error.code), ("No.", "denied"))
