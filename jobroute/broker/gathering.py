# -*- test-case-name: tests.broker.test_verdicts -*-
"""
The outcome of a job: its verdicts and its results, from memory or the store.

The results of a job of several parts are left out when they are too many or
too large together; they can be had one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from jobroute.broker.parts import Job
from jobroute.config import Limits
from jobroute.interfaces import IStorage
from jobroute.model import Frames, PartRecord, Verdict

Gathered = tuple[dict[str, Any], Frames]


def part_outcome(part: PartRecord, omit: bool = False) -> dict[str, Any]:
    """
    What a client is told of a part that is done.

    @param omit: its result does not go with that.
    """
    said: dict[str, Any] = {
        "index": part.index,
        "verdict": part.verdict,
        "agent": part.agent,
        "attempts": part.attempt,
        "frames": 0 if omit else part.frames,
    }
    if part.reason:
        said["reason"] = part.reason
    if omit and part.frames:
        said["omitted"] = True
    return said


def outcome(id: str, number: int, parts: Sequence[PartRecord], omit: bool) -> dict[str, Any]:
    """
    What a client is told of a job that is done.
    """
    verdicts: dict[Verdict, int] = {}
    for part in parts:
        assert part.verdict is not None
        verdicts[part.verdict] = verdicts.get(part.verdict, 0) + 1
    return {
        "job": id,
        "number": number,
        "state": "done",
        "verdicts": verdicts,
        "parts": [part_outcome(part, omit) for part in parts],
    }


def gather(job: Job, limits: Limits) -> Gathered:
    """
    The outcome of a job whose results are all in memory.
    """
    if len(job.parts) == 1:
        part = job.parts[0]
        assert part.verdict is not None
        said = {
            "job": job.id,
            "number": job.number,
            "state": "done",
            "verdicts": {part.verdict: 1},
            "parts": [part.outcome()],
        }
        return said, part.result or ()
    frames: list[bytes] = []
    size = 0
    for part in job.parts:
        result = part.result or ()
        size += sum(map(len, result))
        if len(frames) + len(result) > limits.frames or size > limits.message:
            frames = []
            break
        frames.extend(result)
    records = [part.record() for part in job.parts]
    return outcome(job.id, job.number, records, omit=not frames), tuple(frames)


async def _read(
    id: str, number: int, parts: Sequence[PartRecord], storage: IStorage, limits: Limits
) -> Gathered:
    frames: list[bytes] = []
    size = 0
    omit = len(parts) > 1 and sum(part.frames for part in parts) > limits.frames
    for part in () if omit else parts:
        if not part.frames:
            continue
        result = await storage.result(part.number)
        size += sum(map(len, result))
        if len(parts) > 1 and size > limits.message:
            omit = True
            break
        frames.extend(result)
    return outcome(id, number, parts, omit), () if omit else tuple(frames)


def gather_stored(
    id: str, number: int, parts: Sequence[PartRecord], storage: IStorage, limits: Limits
) -> Deferred[Gathered]:
    """
    The outcome of a job whose results are on disk.

    @return: fails with L{jobroute.errors.StorageError}.
    """
    return Deferred.fromCoroutine(_read(id, number, parts, storage, limits))
