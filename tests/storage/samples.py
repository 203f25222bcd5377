"""
Jobs and their lives, to be stored.
"""

from __future__ import annotations

from typing import Any

from attrs import define, evolve, field

from jobroute.errors import StorageError
from jobroute.interfaces import IStorage
from jobroute.model import (
    AttemptMade,
    Change,
    Event,
    Frames,
    JobAccepted,
    JobEnded,
    JobRecord,
    Loss,
    PartEnded,
    PartRecord,
    Past,
    Restored,
    Retry,
    Target,
    Verdict,
)
from tests.storage.pump import Pump

#: Another way to retry than by default.
RETRY = Retry((Verdict.FAILED, Verdict.LOST), 0.5, 3.0, 9.5, 0.25)

#: A part that cost two agents their lives, and was refused by one.
PAST = Past(
    2,
    (Loss("a1", 1001.5, 1, 1, "It was silent.", "é"), Loss("a2", 1002.5, 3, 1, "Gone.")),
    ("a3",),
)


def job_record(
    number: int,
    id: str | None = None,
    *,
    namespace: str = "default",
    service: str = "echo",
    client: str = "c1",
    target: Target = Target(),
    header: bytes = b'{"a": 1}',
) -> JobRecord:
    """
    A job.
    """
    return JobRecord(
        number=number,
        namespace=namespace,
        id=str(number) if id is None else id,
        client=client,
        service=service,
        target=target,
        header=header,
        digest=b"\x00\xff" * 16,
        priority=-3,
        attempts=2,
        queue_limit=None,
        run_limit=1.5,
        deadline=86400.25,
        submitted=1000.5,
    )


def accepted(number: int, *, parts: int = 1, payload: Frames = (b"p",), **more: Any) -> JobAccepted:
    """
    A job whose parts are numbered after it.
    """
    records = tuple(PartRecord(number + 1 + i, number, i, None) for i in range(parts))
    return JobAccepted(job_record(number, **more), records, payload)


def attempt(part: int, number: int = 1) -> AttemptMade:
    """
    A part is given to an agent.
    """
    return AttemptMade(part, number, "a1", "ab" * 16, 1001.0)


def ended(
    part: int, verdict: Verdict = Verdict.SUCCEEDED, *, at: float = 1002.0, frames: Frames = (b"r",)
) -> PartEnded:
    """
    A part has its verdict.
    """
    reason = None if verdict is Verdict.SUCCEEDED else "it had to be"
    return PartEnded(part, verdict, reason, "a1", at, frames)


def life(
    number: int, verdict: Verdict = Verdict.SUCCEEDED, *, at: float = 1002.0, **more: Any
) -> list[Change]:
    """
    The whole life of a job with one part, which has the next number.
    """
    return [
        accepted(number, **more),
        attempt(number + 1),
        ended(number + 1, verdict, at=at),
        JobEnded(number, at),
    ]


def event(number: int, job: int | None = None, kind: str = "part.ended") -> Event:
    """
    An event.
    """
    return Event(number, 1003.5, kind, job, None, 1, "a1", {"list": [1, None, "é"], "x": 1.5})


@define(eq=False)
class Broker:
    """
    What a broker does with its storage.

    @ivar positions: what it was told is committed.
    @ivar troubles: what it was told goes wrong.
    """

    storage: IStorage
    pump: Pump
    position: int = 0
    positions: list[int] = field(factory=list)
    troubles: list[StorageError | None] = field(factory=list)

    def open(self) -> Restored:
        """
        Begin an epoch.
        """
        self.position = 0
        self.positions.clear()
        restored = self.pump.wait(self.storage.open(self.positions.append, self.troubles.append))
        return evolve(restored, jobs=tuple(restored.jobs))

    def write(self, *changes: Change) -> None:
        """
        Write without waiting.
        """
        self.position += max(len(changes), 1)
        self.storage.write(self.position, changes)

    def store(self, *changes: Change) -> None:
        """
        Write, and wait until it is committed.
        """
        self.write(*changes)
        self.settle()

    def settle(self) -> None:
        """
        Wait until all is committed.
        """
        self.pump.until(lambda: self.positions and self.positions[-1] == self.position)

    def close(self) -> None:
        """
        End the epoch.
        """
        self.pump.wait(self.storage.close())
