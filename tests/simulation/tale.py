"""
A short history in which every promise is kept, to be told wrongly.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from msgspec.structs import replace

from jobroute.model import (
    Event,
    Frames,
    JobHistory,
    JobRecord,
    PartRecord,
    PartState,
    Target,
    Verdict,
)
from jobroute.testing.clock import WALL
from jobroute.testing.errands import computed, partial_computed
from jobroute.testing.evidence import Evidence, Stored
from jobroute.testing.history import Entry, History
from jobroute.testing.questions import JobPlan

#: The incarnations of the agents C{a1.1} and C{a2.1}.
FIRST, SECOND = "1" * 32, "2" * 32

#: The job, its number and that of its part.
ID, JOB, PART = "j1", 10, 11

PLAN = JobPlan("work", id=ID)

#: What C{a1.1} computed for it at the first attempt.
RESULT = computed(ID, 0, 1, "a1.1", (b"x",))

_RECORD = JobRecord(
    JOB, "default", ID, "c1", "work", Target(), b"null", b"", 0, 1, None, None, WALL + 40, WALL + 1
)

_PART = PartRecord(
    PART,
    JOB,
    0,
    None,
    PartState.DONE,
    1,
    "a1",
    FIRST,
    verdict=Verdict.SUCCEEDED,
    ended=WALL + 3,
    frames=2,
)


def outcome(**changes: Any) -> dict[str, Any]:
    """
    What everybody is told of the part.
    """
    said = {"index": 0, "verdict": "succeeded", "agent": "a1", "attempts": 1}
    return {**said, "reason": None, "frames": RESULT, **changes}


@define(eq=False)
class Tale:
    """
    One job, done by one of two agents for a client that waits.

    @ivar now: what time it is in the tale.
    """

    now: float = 0.0
    history: History = field(init=False)
    record: JobRecord = _RECORD
    parts: list[PartRecord] = field(factory=lambda: [_PART])
    results: list[Frames] = field(factory=lambda: [RESULT])
    events: list[Event] = field(init=False)
    others: dict[int, Stored] = field(factory=dict)
    finished: bool = True
    broken: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.history = History(lambda: self.now)
        self.events = [self.event("part.delivered", 1), self.ended()]
        for who in ("broker.1", "a1.1", "a2.1", "c1.1"):
            self.tell(0.0, who, "born")
        self.tell(0.0, "broker.1", "ready", epoch=1)
        for who, incarnation, number in (("a1.1", FIRST, 1), ("a2.1", SECOND, 2)):
            self.tell(0.1, who, "incarnation", agent=incarnation)
            self.hears(0.2, incarnation, "pong", held=[])
            self.says(0.2, incarnation, "welcome", number=number, epoch=1)
        self.asks(1.0, 1, "SUBMIT", job=ID, plan=PLAN)
        self.answered(1.1, 1, "SUBMIT", job=ID, number=JOB, parts=1, existing=False)
        self.asks(1.2, 2, "WAIT", job=ID, stream=True)

    def work(self) -> None:
        """
        The part is done, and the client told.
        """
        self.deliver(1.5, FIRST, 1)
        self.begin(1.6, "a1.1", 1)
        self.tell(1.8, "a1.1", "gave", part=PART, attempt=1, job=ID, index=0, sequence=1)
        self.partial(2.0, 1)
        self.hears(2.2, FIRST, "beat", held=[(PART, 1)])
        self.end(2.8, "a1.1", 1)
        self.hears(2.9, FIRST, "result", part=PART, attempt=1)
        self.answered(3.1, 2, "WAIT", job=ID, number=JOB, outcome=[outcome()])

    # -- Telling

    def tell(self, at: float, who: str, what: str, **said: Any) -> Entry:
        """
        Something happens.
        """
        self.now = at
        return self.history.add(who, what, **said)

    def asks(self, at: float, ask: int, command: str, **said: Any) -> None:
        """
        The client asks.
        """
        self.tell(at, "c1.1", "asked", ask=ask, command=command, **said)

    def answered(self, at: float, ask: int, command: str, **said: Any) -> None:
        """
        The client is answered.
        """
        self.tell(at, "c1.1", "answered", ask=ask, command=command, **said)

    def refused(self, at: float, ask: int, command: str, code: str) -> None:
        """
        The client is refused.
        """
        self.tell(at, "c1.1", "refused", ask=ask, command=command, code=code, text="No.")

    def hears(self, at: float, agent: str, message: str, **said: Any) -> Entry:
        """
        The broker hears an agent.
        """
        return self.tell(at, "broker.1", "heard", agent=agent, message=message, **said)

    def says(self, at: float, agent: str, message: str, who: str = "broker.1", **said: Any) -> None:
        """
        The broker says something to an agent.
        """
        self.tell(at, who, "said", agent=agent, message=message, **said)

    def deliver(self, at: float, agent: str, attempt: int, who: str = "broker.1") -> None:
        """
        An attempt is given to an agent.
        """
        self.says(at, agent, "deliver", who, part=PART, attempt=attempt, job=ID)

    def begin(self, at: float, who: str, attempt: int, part: int = PART, job: str = ID) -> None:
        """
        A function begins.
        """
        self.tell(at, who, "began", part=part, attempt=attempt, job=job, index=0)

    def end(self, at: float, who: str, attempt: int, kind: str = "result") -> None:
        """
        A function returns.
        """
        said: dict[str, Any] = {"part": PART, "attempt": attempt, "job": ID, "index": 0}
        if kind == "result":
            said["frames"] = computed(ID, 0, attempt, who, (b"x",))
        self.tell(at, who, "ended", kind=kind, **said)

    def partial(self, at: float, sequence: int, attempt: int = 1) -> None:
        """
        The client is told a partial result.
        """
        frames = partial_computed(ID, 0, attempt, sequence)
        said = {"job": ID, "index": 0, "attempt": attempt, "sequence": sequence}
        self.tell(at, "c1.1", "partial", ask=2, **said, frames=frames)

    # -- The store

    def event(self, kind: str, attempt: int = 1, **data: Any) -> Event:
        """
        A fact in the store.
        """
        return Event(1, WALL + 3, kind, JOB, PART, attempt, "a1", data or None)

    def ended(self, verdict: str = "succeeded") -> Event:
        """
        The event of a verdict.
        """
        return self.event("part.ended", verdict=verdict)

    def verdict(self, verdict: Verdict, **changes: Any) -> None:
        """
        The store has another verdict.
        """
        self.parts = [replace(self.parts[0], verdict=verdict, frames=0, **changes)]
        self.results = [()]
        self.events = [self.event("part.delivered"), self.ended(verdict.value)]

    def told(self) -> Evidence:
        """
        What there is to judge.
        """
        ended = WALL + 3 if all(p.state is PartState.DONE for p in self.parts) else None
        job = JobHistory(self.record, tuple(self.parts), ended, tuple(self.events))
        stored = {self.record.number: Stored(job, tuple(self.results)), **self.others}
        return Evidence(self.history, stored, self.finished, list(self.broken))
