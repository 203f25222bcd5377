# -*- test-case-name: tests.broker.test_retries -*-
"""
Whether a part is worth another attempt, and when.
"""

from __future__ import annotations

from random import Random

from attrs import define

from jobroute.broker.parts import Part
from jobroute.model import Advice, Retry, Verdict

#: How a job is retried that says nothing of it.
DEFAULT = Retry()

#: The greatest exponent of a delay; every factor has passed every limit then.
_MOST = 64


@define(eq=False, repr=False)
class Retries:
    """
    @ivar random: for the jitter.
    """

    _random: Random

    def pause(self, part: Part, verdict: Verdict, advice: Advice | None = None) -> float | None:
        """
        In how many seconds a part may have its next attempt, or L{None} if
        it gets its verdict now: it has no attempt left, the verdict is not
        worth another, or that one would begin after the deadline.

        @param verdict: which it would be.
        @param advice: what the agent says.
        """
        job = part.job
        retry = DEFAULT if job.retry is None else job.retry
        if part.made >= job.attempts or verdict not in retry.on:
            return None
        if verdict is Verdict.LOST:
            # That took a whole lease; and whoever has it next is another agent.
            return 0.0
        delay = min(retry.max_delay, retry.delay * retry.factor ** min(part.made - 1, _MOST))
        if advice is None:
            return delay * (1.0 - retry.jitter * self._random.random())
        if not advice.retry:
            return None
        if advice.after is None:
            return delay * (1.0 - retry.jitter * self._random.random())
        # Not before that, and not all at the same moment.
        return advice.after + delay * retry.jitter * self._random.random()
