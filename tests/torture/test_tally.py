"""
Tests for L{jobroute.testing.torture.tally}.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from jobroute.testing.torture.notes import Notes
from jobroute.testing.torture.tally import Tally


class TallyTests(SynchronousTestCase):
    """
    Processes note, and it is counted.
    """

    def setUp(self) -> None:
        """
        Make a folder.
        """
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.tally = Tally(self.folder)

    def notes(self, who: str) -> Notes:
        """
        The history of a process.
        """
        notes = Notes(self.folder / f"{who}.jsonl", who, lambda: 0.0)
        self.addCleanup(notes.close)
        return notes

    def test_counts(self) -> None:
        """
        Jobs, verdicts, questions and answers, in all lives.
        """
        broker, client = self.notes("broker.9"), self.notes("c1.1")
        broker.note("ready", epoch=1)
        broker.note("event", kind="job.accepted", open=1)
        client.note("asked", command="SUBMIT")
        self.tally.read()
        self.assertEqual((self.tally.accepted, self.tally.open), (1, 1))
        self.assertEqual((self.tally.questions, self.tally.answers), (1, 0))
        broker.note("event", kind="part.ended", verdict="lost", open=0)
        later = self.notes("broker.10")
        later.note("event", kind="job.accepted", open=7)
        client.note("answered", command="SUBMIT")
        client.note("rested")
        self.tally.read()
        self.assertEqual((self.tally.accepted, self.tally.open), (2, 7))
        self.assertEqual((self.tally.questions, self.tally.answers), (1, 1))
        self.assertEqual(self.tally.verdicts, {"lost": 1})
        self.assertEqual(self.tally.there, {"broker.9", "c1.1"})
        self.assertEqual(self.tally.rested, {"c1.1"})

    def test_earlier_lives(self) -> None:
        """
        The file of a life that is over is read to its end, and then left.
        """
        first = self.notes("a1.9")
        first.note("incarnation", agent="1")
        self.tally.read()
        first.note("bug", text="No.")
        second = self.notes("a1.10")
        self.tally.read()
        self.assertEqual(self.tally.bugs, ["a1.9: No."])
        first.note("bug", text="Nobody is there.")
        second.note("bug", text="Yes.")
        self.tally.read()
        self.assertEqual(self.tally.bugs, ["a1.9: No.", "a1.10: Yes."])
