# -*- test-case-name: tests.broker.test_dispatcher -*-
"""
The living objects: jobs, their parts, and the attempts at them.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from attrs import define, field

from jobroute.model import (
    Frames,
    JobRecord,
    PartRecord,
    PartState,
    Past,
    Retry,
    Target,
    Verdict,
)

if TYPE_CHECKING:
    from jobroute.broker.roster import Agent
    from jobroute.broker.waits import Wait


#: Nobody waits.  Most jobs share it, and nobody changes it.
_NOBODY: dict[Wait, None] = {}


@define(eq=False, repr=False, weakref_slot=False)
class Job:
    """
    A job that has not ended.

    @ivar volatile: it is a call: never stored, and gone with the broker.
    @ivar expires: its deadline on the monotonic clock.
    @ivar open: how many parts have no verdict.
    @ivar header: L{None} if it must be read from the store; the payload is
        then, too.
    @ivar payload: L{None} if it must be read from the store.
    @ivar digest: empty if it must be read from the store.
    @ivar token: under which its call is known.
    @ivar retry: L{None} is as by default.
    @ivar max_lost: L{None} is the broker's setting.
    @ivar origin: the number of the job that it was made from.
    """

    number: int
    namespace: str
    id: str
    client: str
    service: str
    target: Target
    header: bytes | None
    priority: int
    attempts: int
    queue_limit: float | None
    run_limit: float | None
    deadline: float
    submitted: float
    expires: float
    volatile: bool
    payload: Frames | None
    digest: bytes = b""
    token: str = ""
    parts: list[Part] = field(factory=list)
    open: int = 0
    waits: dict[Wait, None] = _NOBODY
    retry: Retry | None = None
    max_lost: int | None = None
    origin: int | None = None

    def add(self, wait: Wait) -> None:
        """
        Somebody waits for it.
        """
        if self.waits is _NOBODY:
            self.waits = {}
        self.waits[wait] = None

    def told(self) -> None:
        """
        It is over, and nobody waits any more.  No circle is left behind, so
        that it is freed at once.
        """
        self.waits = _NOBODY
        self.parts = []

    def record(self) -> JobRecord:
        """
        What is kept of it.
        """
        return JobRecord(
            number=self.number,
            namespace=self.namespace,
            id=self.id,
            client=self.client,
            service=self.service,
            target=self.target,
            header=self.header or b"",
            digest=self.digest,
            priority=self.priority,
            attempts=self.attempts,
            queue_limit=self.queue_limit,
            run_limit=self.run_limit,
            deadline=self.deadline,
            submitted=self.submitted,
            retry=self.retry,
            max_lost=self.max_lost,
            origin=self.origin,
        )


@define(eq=False, repr=False, weakref_slot=False)
class Part:
    """
    One job on one target.

    @ivar made: how many attempts were made.
    @ivar attempt: the attempt that counts, while one is under way.
    @ivar partials: how many partial results of the latest attempt came.
    @ivar queue_until: until when it may wait, on the monotonic clock.
    @ivar result: the result's frames, while they are in memory.
    @ivar frames: how many frames the result has.
    @ivar told: whether those who wait were told its verdict.
    @ivar timer: belongs to L{jobroute.broker.timers}.
    @ivar due: when it may have its next attempt, on the monotonic clock;
        L{None} if that is at once.  Until then it is in no queue.
    @ivar past: what earlier attempts left behind.
    """

    number: int
    job: Job
    index: int
    names: tuple[str, ...] | None
    state: PartState = PartState.QUEUED
    made: int = 0
    attempt: Attempt | None = None
    agent: str | None = None
    partials: int = 0
    cancelling: bool = False
    verdict: Verdict | None = None
    reason: str | None = None
    ended: float | None = None
    queue_until: float = inf
    result: Frames | None = None
    frames: int = 0
    told: bool = False
    timer: Any = None
    due: float | None = None
    past: Past | None = None

    @property
    def refused(self) -> tuple[str, ...]:
        """
        The agents that refused it, and are not given it again.
        """
        return () if self.past is None else self.past.refused

    def record(self) -> PartRecord:
        """
        What is kept of it.
        """
        return PartRecord(
            number=self.number,
            job=self.job.number,
            index=self.index,
            names=self.names,
            state=self.state,
            attempt=self.made,
            agent=self.agent,
            incarnation=None if self.attempt is None else self.attempt.agent.incarnation,
            cancelling=self.cancelling,
            verdict=self.verdict,
            reason=self.reason,
            ended=self.ended,
            frames=self.frames,
            past=self.past,
        )

    def outcome(self) -> dict[str, Any]:
        """
        What a client is told of it once it is done.
        """
        said: dict[str, Any] = {
            "index": self.index,
            "verdict": self.verdict,
            "agent": self.agent,
            "attempts": self.made,
            "frames": self.frames,
        }
        if self.reason:
            said["reason"] = self.reason
        return said


@define(eq=False, repr=False)
class Attempt:
    """
    One delivery of a part to one agent.

    @ivar renewed: when its agent last said that it holds it; monotonic, as
        are all.
    @ivar sent: when it was last sent to the agent.
    @ivar left: whether that, or an earlier sending, was possible.
    @ivar run_until: until when it may run.
    @ivar prefetched: whether all slots were taken when it was given.
    @ivar inputs: what comes after its delivery.
    @ivar stopping: whether the agent is asked to stop it.
    @ivar lingering: whether the agent stopped it, but has no slot back yet.
    @ivar overdue: whether it ran for too long, and another is to follow when
        its agent lets go of it.
    @ivar output: the last that the agent said of it, cut short.
    """

    part: Part
    number: int
    agent: Agent
    renewed: float
    sent: float = inf
    left: bool = False
    run_until: float = inf
    prefetched: bool = False
    inputs: list[Frames] = field(factory=list, init=False)
    stopping: bool = False
    lingering: bool = False
    overdue: bool = False
    output: bytes | None = None

    @property
    def begun(self) -> bool:
        """
        Whether its agent works on it, as far as is known.
        """
        return self.left and not self.prefetched

    @property
    def key(self) -> tuple[int, int]:
        """
        What names it, for ever.
        """
        return self.part.number, self.number

    @property
    def current(self) -> bool:
        """
        Whether it is the one that counts.
        """
        return self.part.attempt is self
