# -*- test-case-name: tests.storage.test_storage -*-
"""
A job and a part as a store in memory has them.
"""

from __future__ import annotations

from attrs import define, field
from msgspec.structs import replace

from jobroute import model
from jobroute.model import PartState, Verdict


@define(eq=False)
class KeptJob:
    """
    A job, with its parts.
    """

    record: model.JobRecord
    payload: model.Frames
    parts: list[KeptPart] = field(factory=list)
    ended: float | None = None

    def restored(self) -> tuple[model.JobRecord, tuple[model.PartRecord, ...]]:
        """
        What a broker is told of it when it starts.
        """
        record = replace(self.record, header=b"", digest=b"")
        return record, tuple(part.now() for part in self.parts)


@define(eq=False)
class KeptPart:
    """
    A part; C{record} is what it was like when its job was accepted.
    """

    record: model.PartRecord
    state: PartState
    attempt: int
    agent: str | None
    incarnation: str | None
    cancelling: bool
    verdict: Verdict | None
    reason: str | None
    ended: float | None
    result: model.Frames = ()
    partials: dict[int, dict[int, model.Frames]] = field(factory=dict)
    due: float | None = None
    past: model.Past | None = None
    released: bool = False

    def now(self) -> model.PartRecord:
        """
        What it is like now.
        """
        return replace(
            self.record,
            state=self.state,
            attempt=self.attempt,
            agent=self.agent,
            incarnation=self.incarnation,
            cancelling=self.cancelling,
            verdict=self.verdict,
            reason=self.reason,
            ended=self.ended,
            frames=len(self.result),
            partials=max(self.partials.get(self.attempt, ()), default=0) if self.attempt else 0,
            due=self.due,
            past=self.past,
            released=self.released,
        )
