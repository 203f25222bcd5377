"""
Tests for L{jobroute.testing.history}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.testing.history import History, about


class HistoryTests(SynchronousTestCase):
    """
    What was seen, in order.
    """

    def setUp(self) -> None:
        """
        Make a short one.
        """
        self.now = 0.0
        self.history = self.made()

    def made(self) -> History:
        """
        A short history.
        """
        history = History(lambda: self.now)
        history.add("a1.1", "born")
        history.add("c1.1", "asked", job="j1", ask=1)
        history.add("broker.1", "heard", held=[(7, 1)])
        history.add("c1.1", "asked", job="j2", ask=2)
        history.add("a1.1", "died")
        history.add("a1.2", "began", part=7)
        history.add("a1.2", "died")
        return history

    def test_of(self) -> None:
        """
        Entries are found by one word or several, in order.
        """
        self.assertEqual([e.number for e in self.history.of("asked")], [1, 3])
        self.assertEqual([e.number for e in self.history.of("died", "born")], [0, 4, 6])
        self.assertEqual(self.history.of("nothing"), [])
        self.assertEqual(len(self.history), 7)

    def test_about(self) -> None:
        """
        What concerns a job or a part is picked out, with what happened to
        everybody meanwhile.
        """
        self.assertEqual([e.number for e in about(self.history.entries, ["j1"])], [1])
        self.assertEqual([e.number for e in about(self.history.entries, [], [7])], [2, 4, 5])
        self.assertEqual(about(self.history.entries, ["j3"]), [])

    def test_digest(self) -> None:
        """
        The same history has the same digest, and no other has it.
        """
        self.assertEqual(self.history.digest(), self.made().digest())
        other = self.made()
        other.add("world", "calm")
        self.assertNotEqual(self.history.digest(), other.digest())
        self.now = 0.1
        self.assertNotEqual(self.history.digest(), self.made().digest())

    def test_line(self) -> None:
        """
        An entry is one line, and not a long one.
        """
        entry = self.history.add("c1.1", "asked", payload=b"x" * 10_000)
        self.assertIn("c1.1", str(entry))
        self.assertLess(len(str(entry)), 200)
