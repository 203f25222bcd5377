# -*- test-case-name: tests.test_clock -*-
"""
The clocks of a real process.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.base import ReactorBase
from zope.interface import implementer

from jobroute.interfaces import IClock


def steady(reactor: Any) -> bool:
    """
    Let a reactor measure time by the monotonic clock.  By itself it uses the
    time of day: a clock that is set back by an hour delays all timers by an
    hour, and one that is set ahead lets them come due at once.

    To be called before anything is scheduled: what is would be mistaken.

    @return: whether it is so now.
    """
    if not isinstance(reactor, ReactorBase):
        return False
    if reactor.seconds is not time.monotonic:  # noqa: TID251
        if reactor.getDelayedCalls():
            return False
        reactor.seconds = time.monotonic  # noqa: TID251
    return True


@implementer(IClock)
class SystemClock:
    """
    What the operating system says.
    """

    # The functions themselves: a broker asks them several times a job.
    monotonic = staticmethod(time.monotonic)  # noqa: TID251
    wall = staticmethod(time.time)  # noqa: TID251
