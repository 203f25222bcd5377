"""
Tests of L{jobroute.broker.heartbeat}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.broker.heartbeat import Heartbeat
from jobroute.interfaces import Due, IHeartbeat


class HeartbeatTests(SynchronousTestCase):
    """
    The silent are pinged, and then lost.
    """

    def setUp(self) -> None:
        self.heartbeat = Heartbeat(2.0, 3)

    def test_rounding(self) -> None:
        """
        Moments whose sum and difference are rounded differently end too.
        """
        for tenths in range(1, 2000):
            heartbeat = Heartbeat(0.1, 3)
            start = tenths / 10 + 0.7
            heartbeat.add("a", start)
            heartbeat.due(start + 0.1)
            heartbeat.heard("a", start + 0.2)
            heartbeat.due(start + 0.1 + 0.1 + 0.1)

    def test_interface(self) -> None:
        """
        It provides L{IHeartbeat}.
        """
        self.assertTrue(verifyObject(IHeartbeat, self.heartbeat))

    def test_silence(self) -> None:
        """
        A silent one is pinged every interval, and lost after C{liveness} of
        them, once.
        """
        self.heartbeat.add("a", 0.0)
        self.assertEqual(self.heartbeat.due(1.9), [])
        self.assertEqual(self.heartbeat.due(2.0), [("a", Due.PING)])
        self.assertEqual(self.heartbeat.due(3.9), [])
        self.assertEqual(self.heartbeat.due(4.0), [("a", Due.PING)])
        self.assertEqual(self.heartbeat.silence("a", 5.0), 5.0)
        self.assertEqual(self.heartbeat.due(6.0), [("a", Due.LOST)])
        self.assertEqual(self.heartbeat.due(100.0), [])
        self.assertRaises(KeyError, self.heartbeat.silence, "a", 100.0)

    def test_heard(self) -> None:
        """
        One that is heard is left alone.
        """
        self.heartbeat.add("a", 0.0)
        for second in range(1, 20):
            self.heartbeat.heard("a", float(second))
            self.assertEqual(self.heartbeat.due(second + 0.5), [])

    def test_grace(self) -> None:
        """
        With grace one may be silent for longer, or shorter, but only until
        it was heard.
        """
        self.heartbeat.add("long", 0.0, grace=10.0)
        self.heartbeat.add("short", 0.0, grace=0.5)
        self.assertEqual(self.heartbeat.due(0.5), [("short", Due.LOST)])
        self.heartbeat.due(8.0)
        self.assertEqual(self.heartbeat.due(9.9), [])
        self.assertEqual(self.heartbeat.due(10.0), [("long", Due.LOST)])
        self.heartbeat.add("long", 0.0, grace=10.0)
        self.heartbeat.heard("long", 1.0)
        self.assertEqual(self.heartbeat.due(7.0), [("long", Due.LOST)])

    def test_removed(self) -> None:
        """
        One that is not watched is not due, and may be spoken of.
        """
        self.heartbeat.add("a", 0.0)
        self.heartbeat.remove("a")
        self.heartbeat.remove("a")
        self.heartbeat.heard("a", 1.0)
        self.assertEqual(self.heartbeat.due(100.0), [])

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "heard", "remove", "due"]),
                st.integers(0, 3),
                st.floats(0, 3),
            ),
            max_size=60,
        )
    )
    def test_naive(self, steps: list[tuple[str, int, float]]) -> None:
        """
        Somebody who looks at everybody at each tick finds the same lost, and
        nobody is pinged who was heard within an interval.
        """
        heartbeat = Heartbeat(2.0, 3)
        heard: dict[int, float] = {}
        now = 0.0
        for step, key, seconds in steps:
            now += seconds
            if step == "add":
                heartbeat.add(key, now)
                heard[key] = now
            elif step == "heard":
                heartbeat.heard(key, now)
                if key in heard:
                    heard[key] = now
            elif step == "remove":
                heartbeat.remove(key)
                heard.pop(key, None)
            else:
                due = heartbeat.due(now)
                lost = {k for k, what in due if what is Due.LOST}
                self.assertEqual(lost, {k for k, at in heard.items() if now - at >= 6.0})
                for k, _ in due:
                    self.assertGreaterEqual(now - heard[k], 2.0)
                for k in lost:
                    del heard[k]
        self.assertLessEqual(len(heartbeat._watched), len(heard))
