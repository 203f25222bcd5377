# -*- test-case-name: tests.test_clock -*-
"""
The clocks of a real process.
"""

from __future__ import annotations

import time

from zope.interface import implementer

from jobroute.interfaces import IClock


@implementer(IClock)
class SystemClock:
    """
    What the operating system says.
    """

    # The functions themselves: a broker asks them several times a job.
    monotonic = staticmethod(time.monotonic)  # noqa: TID251
    wall = staticmethod(time.time)  # noqa: TID251
