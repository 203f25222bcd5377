# -*- test-case-name: tests.client.test_outcomes -*-
"""
What a client is told, as values.
"""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

from jobroute.errors import JobFailed
from jobroute.model import Frames, Verdict


@frozen
class Submitted:
    """
    A job that was accepted.

    @ivar job: its id.
    @ivar number: never used again for another job.
    @ivar parts: how many it has.
    @ivar existing: whether it was there before, under an id of your own.
    """

    job: str
    number: int
    parts: int
    existing: bool = False


@frozen
class Progress:
    """
    How far an agent says that it is.

    @ivar value: any JSON value.
    """

    job: str
    index: int
    attempt: int
    value: Any


@frozen
class Partial:
    """
    A partial result.

    @ivar sequence: its number in this attempt, from 1.
    """

    job: str
    index: int
    attempt: int
    sequence: int
    frames: Frames


@frozen
class PartOutcome:
    """
    What became of one part.

    @ivar agent: who had the last attempt; L{None} if nobody had one.
    @ivar reason: why it did not succeed, if there is more to say.
    @ivar omitted: whether the result was too large for the answer.
    """

    index: int
    verdict: Verdict
    agent: str | None = None
    attempts: int = 0
    reason: str | None = None
    frames: Frames = ()
    omitted: bool = False

    @property
    def succeeded(self) -> bool:
        """
        Whether the agent gave a result.
        """
        return self.verdict is Verdict.SUCCEEDED


@frozen
class Outcome:
    """
    What became of a job.  A job that did not succeed is one too.

    @ivar verdicts: how many parts have which verdict.
    @ivar position: where its payload stood among those given to C{map}.
    """

    job: str
    number: int
    verdicts: dict[Verdict, int]
    parts: tuple[PartOutcome, ...]
    position: int | None = None

    @property
    def succeeded(self) -> bool:
        """
        Whether all parts did.
        """
        return all(part.succeeded for part in self.parts)

    @property
    def frames(self) -> Frames:
        """
        The result of a job of one part.

        @raise ValueError: if it has several; look at C{parts}.
        """
        if len(self.parts) != 1:
            raise ValueError(f"Job {self.job} has {len(self.parts)} parts; look at its parts.")
        return self.parts[0].frames

    @property
    def data(self) -> bytes:
        """
        The result of a job of one part, if it is a single frame.

        @raise ValueError: if there are several parts or frames, or none.
        """
        frames = self.frames
        if len(frames) != 1:
            raise ValueError(
                f"The result of job {self.job} has {len(frames)} frames; look at frames."
            )
        return frames[0]

    def check(self) -> Outcome:
        """
        Make sure that all parts succeeded.

        @return: itself.
        @raise JobFailed: if one did not.
        """
        wrong = [part for part in self.parts if not part.succeeded]
        if not wrong:
            return self
        first = wrong[0]
        if len(self.parts) == 1:
            said = f"Job {self.job} ended as {first.verdict.value}"
        else:
            said = (
                f"{len(wrong)} of {len(self.parts)} parts of job {self.job} did not succeed; "
                f"part {first.index} ended as {first.verdict.value}"
            )
        if first.agent:
            said += f" on agent {first.agent}"
        reason = f": {first.reason}" if first.reason else "."
        raise JobFailed(said + reason, first.verdict.value, self.job)

    def with_part(self, part: PartOutcome) -> Outcome:
        """
        The same with another part in the place of the one of that index.
        """
        parts = tuple(part if p.index == part.index else p for p in self.parts)
        return attrs.evolve(self, parts=parts)


@frozen
class JobLine:
    """
    A job as a page shows it.

    @ivar state: C{open} or C{ended}.
    """

    job: str
    number: int
    namespace: str
    service: str
    client: str
    submitted: float
    ended: float | None
    state: str
    parts: int
    verdicts: dict[Verdict, int]


@frozen
class Page:
    """
    A page of jobs.

    @ivar next: what to give as C{before} for the next one; L{None} at the
        end.
    """

    jobs: tuple[JobLine, ...]
    next: Any = None
