"""
Tests of L{jobroute.broker.journal}.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.journal import Journal
from jobroute.model import Change, PartQueued


class Disk:
    """
    Remembers what was written.
    """

    def __init__(self) -> None:
        self.written: list[tuple[int, list[Change]]] = []

    def write(self, position: int, changes: Sequence[Change]) -> None:
        """
        See L{jobroute.interfaces.IStorage.write}.
        """
        self.written.append((position, list(changes)))


class JournalTests(SynchronousTestCase):
    """
    Effects come after their commit, in order.
    """

    def setUp(self) -> None:
        self.disk = Disk()
        self.journal = Journal(self.disk.write)
        self.done: list[int] = []

    def test_nothing_pending(self) -> None:
        """
        When everything is on disk, an effect comes at once.
        """
        self.journal.park(self.done.append, 1)
        self.assertEqual(self.done, [1])

    def test_after_commit(self) -> None:
        """
        An effect comes when what was appended before it is on disk, not
        before, and though nothing after it is.
        """
        self.journal.append(PartQueued(1))
        self.journal.park(self.done.append, 1)
        self.journal.append(PartQueued(2))
        self.journal.park(self.done.append, 2)
        self.journal.flush()
        self.assertEqual(self.disk.written, [(2, [PartQueued(1), PartQueued(2)])])
        self.assertEqual((self.done, self.journal.backlog), ([], 2))
        self.journal.committed(1)
        self.assertEqual((self.done, self.journal.backlog), ([1], 1))
        self.journal.committed(2)
        self.assertEqual((self.done, self.journal.backlog), ([1, 2], 0))

    def test_not_written(self) -> None:
        """
        An effect waits for a change that was not even handed to the disk.
        """
        self.journal.append(PartQueued(1))
        self.journal.park(self.done.append, 1)
        self.journal.committed(0)
        self.assertEqual(self.done, [])
        # A commit takes along what came meanwhile.
        self.assertEqual(self.disk.written, [(1, [PartQueued(1)])])

    def test_failing_effect(self) -> None:
        """
        An effect that fails is logged, and holds nothing back.
        """
        self.journal.append(PartQueued(1))
        self.journal.park(lambda: 1 // 0)
        self.journal.park(self.done.append, 1)
        self.journal.flush()
        self.journal.committed(1)
        self.assertEqual(self.done, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_effects_of_effects(self) -> None:
        """
        What an effect appends is flushed, and its effects wait their turn.
        """

        def effect() -> None:
            self.journal.append(PartQueued(2))
            self.journal.park(self.done.append, 2)

        self.journal.append(PartQueued(1))
        self.journal.park(effect)
        self.journal.park(self.done.append, 1)
        self.journal.flush()
        self.journal.committed(1)
        self.assertEqual((self.done, len(self.disk.written)), ([1], 2))
        self.journal.committed(2)
        self.assertEqual(self.done, [1, 2])

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from(["append", "park", "flush", "commit"]), max_size=60))
    def test_order(self, steps: list[str]) -> None:
        """
        Whatever is done in whatever order: effects come once, in order, and
        none before its commit.
        """
        disk = Disk()
        journal = Journal(disk.write)
        done: list[tuple[int, int]] = []
        parked = 0
        for step in steps:
            if step == "append":
                journal.append(PartQueued(0))
            elif step == "park":
                journal.park(lambda n, at: done.append((n, at)), parked, journal.position)
                parked += 1
            elif step == "flush":
                journal.flush()
            elif disk.written:
                position, _ = disk.written.pop(0)
                journal.committed(position)
            self.assertTrue(all(at <= journal.stored for _, at in done))
        journal.flush()
        for position, _ in disk.written:
            journal.committed(position)
        self.assertEqual([n for n, _ in done], list(range(parked)))
