"""
Tests of L{jobroute.broker.waiting}.
"""

from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.parts import Part
from jobroute.broker.waiting import Waiting
from tests.broker.test_services import part

#: What is done, and to which of those that wait.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["last", "first", "pop", "remove", "remove", "again"]),
        st.integers(0, 10**6),
    ),
    max_size=150,
)


class WaitingTests(SynchronousTestCase):
    """
    A list from which is taken in front, and anywhere.
    """

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, 100), STEPS)
    def test_naive(self, begin: int, steps: list[tuple[str, int]]) -> None:
        """
        It is the same as a list that is searched from end to end.
        """
        waiting, naive = Waiting(), [part(number) for number in range(begin)]
        removed: list[Part] = []
        for one in naive:
            waiting.push(one)
        for step, number in steps:
            if step in ("last", "first"):
                one = part(number)
                waiting.push(one, step == "first")
                naive.insert(0 if step == "first" else len(naive), one)
            elif step == "again" and removed:
                waiting.push(removed[-1])
                naive.append(removed.pop())
            elif step == "pop" and naive:
                self.assertIs(waiting.pop(), naive.pop(0))
            elif step == "remove" and naive:
                removed.append(naive.pop(number % len(naive)))
                waiting.remove(removed[-1])
            self.assertEqual((list(waiting), bool(waiting)), (naive, bool(naive)))
            if naive:
                self.assertIs(waiting.head(), naive[0])

    def test_small(self) -> None:
        """
        Places of those that are gone are given back: those in front and those
        between.
        """
        waiting = Waiting()
        parts = [part(number) for number in range(1000)]
        for one in parts:
            waiting.push(one)
        full = sys.getsizeof(waiting._parts)
        for one in parts[1:900]:
            waiting.remove(one)
        self.assertLess(len(waiting._parts), 210)
        for _ in range(95):
            waiting.pop()
        self.assertLess(len(waiting._parts), 50)
        self.assertLess(sys.getsizeof(waiting._parts), full / 10)

    def test_in_front(self) -> None:
        """
        Many that are put in front move the others seldom.
        """
        waiting = Waiting()
        for number in range(1000):
            waiting.push(part(number), first=True)
        self.assertEqual([p.number for p in waiting], list(range(999, -1, -1)))
        self.assertLess(waiting._first, 1000)
