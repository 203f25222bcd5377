"""
Tests of L{jobroute.broker.timers}.
"""

from __future__ import annotations

from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.timers import RESOLUTION, Timers


@define(eq=False)
class Item:
    """
    Something with a timer.
    """

    name: int
    timer: int | None = None


#: Which item is set to how far ahead, or cleared, or how much time passes.
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("set"),
            st.integers(0, 4),
            st.one_of(st.floats(-1, 5), st.floats(-1, 100), st.floats(50, 70), st.just(86400.0)),
        ),
        st.tuples(st.just("clear"), st.integers(0, 4), st.just(0.0)),
        st.tuples(st.just("pass"), st.just(0), st.floats(0, 80)),
    ),
    max_size=40,
)


class TimersTests(SynchronousTestCase):
    """
    Never early, and late by little.
    """

    def test_late(self) -> None:
        """
        A timer comes due at most a slot of time late, once.
        """
        timers, item = Timers(), Item(1)
        timers.set(item, 10.0, 0.0)
        self.assertEqual(list(timers.due(9.99)), [])
        self.assertEqual(list(timers.due(10.0 + RESOLUTION)), [item])
        self.assertEqual((list(timers.due(1000.0)), item.timer, len(timers)), ([], None, 0))

    def test_past(self) -> None:
        """
        A timer that is set to what has been comes due with the next look.
        """
        timers, item = Timers(), Item(1)
        list(timers.due(50.0))
        timers.set(item, 3.0, 50.0)
        self.assertEqual(list(timers.due(50.0)), [item])

    def test_nothing_left(self) -> None:
        """
        Timers that are cleared leave nothing behind but their moment.
        """
        timers = Timers()
        for number in range(1000):
            item = Item(number)
            timers.set(item, 86400.0 + number / 1000, 0.0)
            timers.clear(item)
            timers.clear(item)
        self.assertEqual((len(timers), timers._slots), (0, {}))
        self.assertLessEqual(len(timers._heap), 2)

    @settings(max_examples=100, deadline=None)
    @given(STEPS, st.floats(0, 1e6))
    def test_naive(self, steps: list[tuple[str, int, float]], now: float) -> None:
        """
        A list that is searched from end to end says the same, as exactly as
        timers promise.
        """
        timers = Timers()
        items = [Item(number) for number in range(5)]
        naive: dict[Item, tuple[float, float]] = {}
        for step, number, seconds in steps:
            item = items[number]
            if step == "set":
                timers.set(item, now + seconds, now)
                late = RESOLUTION if seconds <= 60 else 1.0 + RESOLUTION
                naive[item] = (now + seconds, late)
            elif step == "clear":
                timers.clear(item)
                naive.pop(item, None)
            else:
                now += seconds
                due = list(timers.due(now))
                self.assertEqual(len(due), len(set(due)))
                for found in due:
                    when, _ = naive.pop(found)  # type: ignore[call-overload]
                    self.assertLessEqual(when, now + 1e-6)
                for when, late in naive.values():
                    self.assertGreater(when + late, now - 1e-6)
            self.assertEqual(len(timers), len(naive))
            self.assertEqual({i for i in items if i.timer is not None}, set(naive))
