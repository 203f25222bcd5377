"""
Tests for L{jobroute.testing.torture.notes}.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from jobroute.testing.errands import Errand
from jobroute.testing.questions import JobPlan
from jobroute.testing.torture.notes import Notes, Tail, files, merged, pack, unpack


class NotesTests(SynchronousTestCase):
    """
    Histories in a folder.
    """

    def setUp(self) -> None:
        """
        Make the folder.
        """
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.now = 0.0

    def notes(self, who: str) -> Notes:
        """
        The history of a process.
        """
        notes = Notes(self.folder / f"{who}.jsonl", who, lambda: self.now)
        self.addCleanup(notes.close)
        return notes

    def test_same_again(self) -> None:
        """
        What is noted comes back as it was: frames, tuples and plans.
        """
        plan = JobPlan(
            "work",
            Errand(0.25, 3, "failure", 0.5),
            (b"\xff\x00", b""),
            ["a1"],
            "c1.1-7",
            attempts=2,
        )
        said = {"plan": plan, "held": [(1, 2)], "frames": (b"x",), "n": None, "d": {"a": [1, 0.5]}}
        self.assertEqual(unpack(pack(said)), said)
        self.notes("c1.1").note("asked", **said)
        [entry] = merged(self.folder)
        self.assertEqual((entry.who, entry.what, entry.said), ("c1.1", "asked", said))

    def test_merged(self) -> None:
        """
        All histories are one, in the order in which things happened; what
        happened at the same time stays in the order of its process.
        """
        a, b = self.notes("a1.1"), self.notes("broker.1")
        for self.now, notes, what in (
            (1.0, a, "began"),
            (3.0, a, "ended"),
            (2.0, b, "heard"),
            (3.5, b, "said"),
            (3.5, b, "heard"),
        ):
            notes.note(what)
        a.add(0.5, "world", "freeze", {"seconds": 2.0})
        history = merged(self.folder)
        self.assertEqual(
            [(e.number, e.at, e.what) for e in history],
            [
                (0, 0.5, "freeze"),
                (1, 1.0, "began"),
                (2, 2.0, "heard"),
                (3, 3.0, "ended"),
                (4, 3.5, "said"),
                (5, 3.5, "heard"),
            ],
        )

    def test_tail(self) -> None:
        """
        What is new is read once, and a line that is not complete later.
        """
        notes, tail = self.notes("c1.1"), Tail(self.folder / "c1.1.jsonl")
        notes.note("asked")
        self.assertEqual([line.what for line in tail.lines()], ["asked"])
        self.assertEqual(list(tail.lines()), [])
        with open(tail.path, "ab") as file:
            file.write(b'{"at":1,"who":"c1.1",')
        self.assertEqual(list(tail.lines()), [])
        with open(tail.path, "ab") as file:
            file.write(b'"what":"answered"}\n{"at')
        self.assertEqual([line.what for line in tail.lines()], ["answered"])
        self.assertEqual(len(merged(self.folder)), 2)

    def test_files(self) -> None:
        """
        The histories of some processes only.
        """
        for who in ("c1.1", "c1.2", "c11.1", "broker.1"):
            self.notes(who)
        self.assertEqual([path.stem for path in files(self.folder, "c1.")], ["c1.1", "c1.2"])
        self.assertEqual(len(files(self.folder)), 4)
