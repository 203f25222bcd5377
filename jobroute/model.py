# -*- test-case-name: tests.test_model -*-
"""
What jobroute is about, as values: jobs, parts, verdicts, agents, and the
changes that go into the journal.

Nothing here does anything.  Records are frozen, so that a storage may read
them on another thread; the living objects that the broker changes are in
L{jobroute.broker}.  Those of which a store has millions are msgspec's, which
are made in a sixth of the time; C{msgspec.structs.replace} changes a copy.
Times named C{at}, C{deadline} or C{submitted} are wall clock seconds since
1970; durations are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from attrs import field, frozen
from msgspec import Struct

#: The payload frames of a job, a result or an input: opaque, never parsed.
Frames = tuple[bytes, ...]


class Verdict(StrEnum):
    """
    The one final outcome of a part.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    LOST = "lost"
    REFUSED = "refused"
    QUARANTINED = "quarantined"


class PartState(StrEnum):
    """
    Where a part is in its life.
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"


class AgentState(StrEnum):
    """
    Where an agent is in its life.
    """

    READY = "ready"
    BUSY = "busy"
    DRAINING = "draining"
    SUSPECT = "suspect"
    LOST = "lost"
    GONE = "gone"


class ReplyKind(StrEnum):
    """
    What an agent says of an attempt.
    """

    STARTED = "started"
    PROGRESS = "progress"
    PARTIAL = "partial"
    RESULT = "result"
    FAILURE = "failure"
    #: The agent will not do it; the part's verdict is C{refused}.
    REFUSED = "refused"
    #: What worked on it has died, and the agent lives on.
    LOST = "lost"
    #: The agent has stopped working on it, as the broker asked.
    CANCELLED = "cancelled"


@frozen
class Target:
    """
    Who shall do a job, and how many of them.

    @ivar names: the agents that may do it, or L{None} for all that offer the
        service.
    @ivar count: how many of them shall do it, each its own part; L{None}
        for all of them.  With 1 the agent is picked when the part leaves the
        queue; with any other number the agents are frozen at submission.
    """

    names: tuple[str, ...] | None = None
    count: int | None = 1

    @property
    def frozen(self) -> bool:
        """
        Whether each part is bound to one agent when the job is accepted.
        """
        return self.count != 1


@frozen
class Limits:
    """
    The time limits of a job's parts, in seconds from now; L{None} is none.

    @ivar queue: how long a part may wait in the queue (C{expired}).
    @ivar run: how long one attempt may take (C{timed_out}).
    @ivar deadline: by when the part must be done (C{expired}).
    """

    queue: float | None = None
    run: float | None = None
    deadline: float | None = None


@frozen
class Retry:
    """
    Which outcomes of an attempt are worth another one, and when.

    @ivar on: the verdicts that the part would have had.
    @ivar delay: seconds before the second attempt; a part whose attempt was
        lost is given to another agent at once.
    @ivar factor: by how much each further delay is longer.
    @ivar max_delay: the longest of them.
    @ivar jitter: by which share of it at most a delay is made shorter.
    """

    on: tuple[Verdict, ...] = (Verdict.LOST,)
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.5


@frozen
class Advice:
    """
    What an agent that failed or refused says of another attempt.

    @ivar retry: whether it would be worth it.
    @ivar after: in how many seconds at the earliest.
    """

    retry: bool = True
    after: float | None = None


@frozen
class Loss:
    """
    An agent that was lost while it worked on a part.

    @ivar job: the number of the job of which it was a part then.
    @ivar reason: how it was lost.
    @ivar output: the last that it said of the part, cut short.
    """

    agent: str
    at: float
    job: int
    attempt: int
    reason: str
    output: str | None = None


@frozen
class Past:
    """
    What earlier attempts at a part left behind.

    @ivar losses: how many agents it cost their lives, those of the jobs
        counted from which its job was made.
    @ivar evidence: the latest of these losses, the oldest first.
    @ivar refused: the agents that refused it.
    """

    losses: int = 0
    evidence: tuple[Loss, ...] = ()
    refused: tuple[str, ...] = ()


@frozen
class Origin:
    """
    The ended job from which another is made.

    @ivar job: its number.
    @ivar pasts: what each part of the new job inherits.
    @ivar released: the numbers of the parts that leave the quarantine thereby.
    """

    job: int
    pasts: tuple[Past | None, ...]
    released: tuple[int, ...] = ()


@frozen
class JobRequest:
    """
    A job as a client hands it in.

    @ivar namespace: in whose names C{id} is unique.
    @ivar id: the id chosen by the client, or L{None} for one of the broker's.
    @ivar client: who asks, for fairness between clients.
    @ivar header: JSON for the agent, carried as it came.
    @ivar attempts: how often at most the job is given to an agent.
    @ivar retry: which outcomes are worth another attempt; L{None} is as
        L{Retry} says by itself.
    @ivar max_lost: how many agents a part may cost their lives; L{None} is
        the broker's setting.
    @ivar origin: the job that it is made from.
    """

    service: str
    target: Target = Target()
    header: bytes = b"null"
    payload: Frames = ()
    namespace: str = "default"
    id: str | None = None
    client: str = ""
    priority: int = 0
    attempts: int = 1
    limits: Limits = Limits()
    retry: Retry | None = None
    max_lost: int | None = None
    origin: Origin | None = None


class JobRecord(Struct, frozen=True, gc=False):
    """
    A job as it is kept.

    @ivar number: never used again, in any epoch.
    @ivar digest: of everything that makes it this job; the same id with
        another digest is another job, and refused.
    @ivar origin: the number of the job that it was made from.
    """

    number: int
    namespace: str
    id: str
    client: str
    service: str
    target: Target
    header: bytes
    digest: bytes
    priority: int
    attempts: int
    queue_limit: float | None
    run_limit: float | None
    deadline: float
    submitted: float
    retry: Retry | None = None
    max_lost: int | None = None
    origin: int | None = None


@frozen
class Content:
    """
    What of a job is not kept in memory: it may be large.
    """

    header: bytes
    payload: Frames


class PartRecord(Struct, frozen=True, gc=False):
    """
    A part as it is kept.

    @ivar job: the job's number.
    @ivar index: which part of the job, from 0.
    @ivar names: the agents that may do it, L{None} for all that offer the
        service.
    @ivar attempt: the number of the latest attempt, 0 before the first.
    @ivar agent: the agent that has or had the latest attempt.
    @ivar cancelling: whether a client asked to cancel it.
    @ivar frames: how many frames its result has.
    @ivar partials: the number of the latest partial result of the latest
        attempt, 0 before the first.
    @ivar due: when it may be given to an agent again, if it is queued.
    @ivar past: L{None} while there is nothing to say.
    @ivar released: whether it was quarantined, and is not any more: it was
        submitted again or dropped.
    """

    number: int
    job: int
    index: int
    names: tuple[str, ...] | None
    state: PartState = PartState.QUEUED
    attempt: int = 0
    agent: str | None = None
    incarnation: str | None = None
    cancelling: bool = False
    verdict: Verdict | None = None
    reason: str | None = None
    ended: float | None = None
    frames: int = 0
    partials: int = 0
    due: float | None = None
    past: Past | None = None
    released: bool = False


@frozen
class AgentRecord:
    """
    An agent as it is kept.

    @ivar number: lasts as long as the name, and is never another's.
    @ivar description: its announcement, as JSON.
    @ivar living: whether it may come back after a restart of the broker: it
        registered, and did not leave and was not lost since.
    """

    name: str
    number: int
    incarnation: str
    description: bytes
    living: bool = True


@frozen
class Announcement:
    """
    What an agent says of itself when it registers.

    @ivar incarnation: random, new at each start of its process.
    @ivar slots: how many parts it works on at a time.
    @ivar prefetch: how many parts more it may hold.
    """

    name: str
    incarnation: str
    services: tuple[str, ...]
    slots: int = 1
    prefetch: int = 0
    pid: int = 0
    hostname: str = ""
    version: str = ""
    labels: dict[str, str] = field(factory=dict)


@frozen
class Held:
    """
    One attempt that an agent says it holds.
    """

    part: int
    attempt: int


# ---------------------------------------------------------------------------
# Changes: what a transition appends to the journal.


@frozen
class JobAccepted:
    """
    A job was accepted, with its parts and its payload.
    """

    job: JobRecord
    parts: tuple[PartRecord, ...]
    payload: Frames


@frozen
class AttemptMade:
    """
    A part was given to an agent.
    """

    part: int
    attempt: int
    agent: str
    incarnation: str
    at: float


@frozen
class PartQueued:
    """
    A part went back to the queue, its attempt over.

    @ivar due: when it may be given to an agent again; L{None} is at once.
    @ivar past: L{None} if there is nothing new in it.
    """

    part: int
    due: float | None = None
    past: Past | None = None


@frozen
class CancelRequested:
    """
    A client asked to cancel a part that an agent holds.
    """

    part: int


@frozen
class PartialStored:
    """
    A partial result of an attempt, numbered from 1.
    """

    part: int
    attempt: int
    sequence: int
    frames: Frames


@frozen
class PartEnded:
    """
    A part reached its verdict; C{frames} is its result.

    @ivar past: L{None} if there is nothing new in it.
    """

    part: int
    verdict: Verdict
    reason: str | None
    agent: str | None
    at: float
    frames: Frames
    past: Past | None = None


@frozen
class PartReleased:
    """
    A quarantined part is in quarantine no more.
    """

    part: int


@frozen
class JobEnded:
    """
    All parts of a job have their verdict.
    """

    job: int
    at: float


@frozen
class AgentKnown:
    """
    An agent registered.
    """

    agent: AgentRecord
    at: float


@frozen
class AgentLeft:
    """
    An agent took leave or was lost.  Its record stays, no longer living: if
    the name comes back it has the same number.
    """

    name: str


@frozen
class Stopped:
    """
    An operator wants nothing more to be given out: to an agent, which is
    drained, or of a service, which is paused.

    @ivar what: C{agent} or C{service}.
    @ivar stopped: whether that is so, or is so no more.
    """

    what: str
    name: str
    stopped: bool


@frozen
class NumbersTaken:
    """
    All numbers below C{limit} may be in use from now on.
    """

    limit: int


@frozen
class Event:
    """
    A fact that the broker stores and publishes.

    @ivar number: grows by one with each event.
    @ivar kind: such as C{part.ended}; the prefix says what it is about.
    @ivar job: the number of the job that it is about.  If there is only
        C{part}, the storage puts it into the history of that part's job.
    @ivar part: the number of the part that it is about.
    @ivar data: whatever else there is to say, as JSON values.
    """

    number: int
    at: float
    kind: str
    job: int | None = None
    part: int | None = None
    attempt: int | None = None
    agent: str | None = None
    data: dict[str, Any] | None = None


@frozen
class Forgotten:
    """
    What is past its retention goes: jobs that ended before C{before}, the
    oldest ended jobs above C{jobs}, the oldest events above C{events}.  A
    storage may take its time, and does so after what is more urgent.
    """

    before: float
    jobs: int
    events: int


Change = (
    JobAccepted
    | AttemptMade
    | PartQueued
    | CancelRequested
    | PartialStored
    | PartEnded
    | PartReleased
    | JobEnded
    | AgentKnown
    | AgentLeft
    | Stopped
    | NumbersTaken
    | Event
    | Forgotten
)


@frozen
class SetAside:
    """
    A store that a broker does not go on with.

    @ivar path: where it is now.
    @ivar jobs: how many jobs in it have not ended; L{None} if it cannot be
        read.
    @ivar agents: how many agents it knows that may come back, likewise.
    """

    path: str
    jobs: int | None
    agents: int | None


@frozen
class Restored:
    """
    What a broker finds in its store when it starts.

    @ivar epoch: the number of this life of the broker, already stored.
    @ivar numbers: the first number that was never in use.
    @ivar event: the number of the latest event.
    @ivar agents: all agents that are known.
    @ivar jobs: the jobs that have not ended, by number, without headers and
        digests (both empty), each with its parts by index, ended ones
        included.  A storage may read them while they are
        asked for: iterate once, and before anything is written.
    @ivar limit: all numbers below it may be in use from now on: a first
        block was taken together with the epoch.
    @ivar aside: what was set aside to begin anew.
    @ivar stopped: what operators have stopped: C{agent} or C{service}, and
        its name.
    """

    epoch: int
    numbers: int
    event: int
    agents: tuple[AgentRecord, ...] = ()
    jobs: Iterable[tuple[JobRecord, tuple[PartRecord, ...]]] = ()
    limit: int = 0
    aside: SetAside | None = None
    stopped: tuple[tuple[str, str], ...] = ()


@frozen
class JobFilter:
    """
    Which jobs a page of C{JOBS} shows; L{None} is any.

    @ivar state: C{open} or C{ended}.
    @ivar verdict: jobs with at least one part of this verdict.
    """

    namespace: str | None = None
    service: str | None = None
    client: str | None = None
    state: str | None = None
    verdict: Verdict | None = None


@frozen
class JobSummary:
    """
    A job as a page of C{JOBS} shows it.

    @ivar job: the job, with an empty header: a page of them could be large.
    @ivar verdicts: how many parts have which verdict.
    @ivar parts: how many parts it has.
    @ivar ended: when the last part ended, L{None} while one has not.
    """

    job: JobRecord
    parts: int
    verdicts: dict[Verdict, int]
    ended: float | None


@frozen
class Quarantined:
    """
    A part in quarantine.

    @ivar job: its job, with an empty header.
    """

    job: JobRecord
    part: PartRecord


@frozen
class JobHistory:
    """
    Everything that is known of one job.
    """

    job: JobRecord
    parts: tuple[PartRecord, ...]
    ended: float | None
    events: tuple[Event, ...]
