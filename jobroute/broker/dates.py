# -*- test-case-name: tests.broker.test_dates -*-
"""
How long ended jobs are kept, whatever is done to the wall clock.
"""

from __future__ import annotations

from attrs import define, field

from jobroute.interfaces import IClock


@define(eq=False, repr=False)
class Dates:
    """
    The wall clock, but nobody's history is lost by a step of it: no job ends
    earlier, and today is no later, than the monotonic clock says that it is
    since the start.
    """

    _clock: IClock
    _offset: float | None = field(default=None, init=False)

    def ended(self) -> float:
        """
        When something ends that ends now; not what the clock was set back.
        """
        return max(self._clock.wall(), self._steady())

    def today(self) -> float:
        """
        From when it is counted how long something is kept; not what the clock
        leapt ahead.
        """
        return min(self._clock.wall(), self._steady())

    def _steady(self) -> float:
        now = self._clock.monotonic()
        if self._offset is None:
            self._offset = self._clock.wall() - now
        return self._offset + now
