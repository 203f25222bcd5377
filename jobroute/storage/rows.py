# -*- test-case-name: tests.storage.test_rows -*-
"""
Between the values of L{jobroute.model} and rows of a database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from sys import intern
from typing import Any
from zlib import crc32

import msgspec

from jobroute.errors import StorageDamaged
from jobroute.model import (
    AgentRecord,
    Event,
    Frames,
    JobRecord,
    PartRecord,
    PartState,
    Past,
    Retry,
    Target,
    Verdict,
)

#: The columns of each table, as the rows made here have them.
JOB = (
    "number",
    "namespace",
    "id",
    "client",
    "service",
    "priority",
    "attempts",
    "queue_limit",
    "run_limit",
    "deadline",
    "submitted",
    "ended",
    "digest",
    "count",
    "names",
    "retry",
    "max_lost",
    "origin",
    "header",
)
PART = (
    "number",
    "job",
    "place",
    "names",
    "state",
    "attempt",
    "agent",
    "incarnation",
    "cancelling",
    "verdict",
    "reason",
    "ended",
    "frames",
    "due",
    "past",
)
EVENT = ("number", "at", "kind", "job", "part", "attempt", "agent", "data")
PAYLOAD = ("job", "frames")
RESULT = ("part", "frames")
PARTIAL = ("part", "attempt", "sequence", "frames")
AGENT = ("name", "number", "incarnation", "description", "living")

#: Where a job's row has the time of its end.
JOB_ENDED = JOB.index("ended")

#: Reads a part; behind its row stand the latest partial result of its latest
#: attempt, and whether it was released.
SELECT_PART = (
    f"SELECT {', '.join('part.' + column for column in PART)}, CASE attempt WHEN 0 THEN 0 ELSE "
    "coalesce((SELECT max(sequence) FROM partial WHERE partial.part = part.number "
    "AND partial.attempt = part.attempt), 0) END, part.released FROM part "
)

#: What is there to read of a part to which nothing happened yet, and whether
#: that is so.
PART_FRESH = (
    "part.number, part.job, part.place, part.names, part.state = 'queued' AND part.attempt = 0 "
    "AND part.agent IS NULL AND part.due IS NULL AND part.past IS NULL "
    "AND part.cancelling = 0 AND part.released IS NULL"
)

_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(tuple[bytes, ...])
_json = msgspec.json.Encoder()
_names = msgspec.json.Decoder(tuple[str, ...])
_retry = msgspec.json.Decoder(Retry)
_past = msgspec.json.Decoder(Past)
_data = msgspec.json.Decoder(dict[str, Any])

_ANY = Target()
_ALL = Target(count=None)
_STATES = {str(state): state for state in PartState}
_VERDICTS: dict[str | None, Verdict | None] = {str(verdict): verdict for verdict in Verdict}
_VERDICTS[None] = None


def pack_frames(frames: Frames) -> bytearray:
    """
    Frames as one blob, with a checksum: a database notices a damaged page
    only by chance when there is nothing on it but a payload.
    """
    packed = bytearray()
    _pack.encode_into(frames, packed, 4)
    packed[:4] = crc32(memoryview(packed)[4:]).to_bytes(4, "big")
    return packed


def unpack_frames(packed: bytes) -> Frames:
    """
    The frames in a blob.

    @raise StorageDamaged: if it is not what was stored.
    """
    content = memoryview(packed)[4:]
    if crc32(content) != int.from_bytes(packed[:4], "big"):
        raise StorageDamaged("Stored frames are damaged: their checksum is wrong.")
    return _unpack.decode(content)


def _pack_names(names: Sequence[str] | None) -> bytes | None:
    return None if names is None else _json.encode(names)


def _unpack_names(packed: bytes | None) -> tuple[str, ...] | None:
    return None if packed is None else _names.decode(packed)


def pack_past(past: Past | None) -> bytes | None:
    """
    What earlier attempts left, as JSON.
    """
    return None if past is None else _json.encode(past)


def free_text(text: str | None) -> str | None:
    """
    A text that anybody may have written, as one that can be stored.
    """
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def job_row(job: JobRecord) -> list[Any]:
    """
    A job that has not ended, in the order of L{JOB}.
    """
    return [
        job.number,
        job.namespace,
        job.id,
        job.client,
        job.service,
        job.priority,
        job.attempts,
        job.queue_limit,
        job.run_limit,
        job.deadline,
        job.submitted,
        None,
        job.digest,
        job.target.count,
        _pack_names(job.target.names),
        None if job.retry is None else _json.encode(job.retry),
        job.max_lost,
        job.origin,
        job.header,
    ]


def job_record(row: Sequence[Any]) -> JobRecord:
    """
    The job of a row in the order of L{JOB}.
    """
    if row[14] is not None:
        target = Target(_unpack_names(row[14]), row[13])
    elif row[13] == 1:
        target = _ANY
    else:
        target = _ALL if row[13] is None else Target(None, row[13])
    return JobRecord(
        row[0],
        intern(row[1]),
        row[2],
        intern(row[3]),
        intern(row[4]),
        target,
        row[18],
        row[12],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        None if row[15] is None else _retry.decode(row[15]),
        row[16],
        row[17],
    )


def part_row(part: PartRecord) -> list[Any]:
    """
    A part in the order of L{PART}.
    """
    return [
        part.number,
        part.job,
        part.index,
        _pack_names(part.names),
        part.state.value,
        part.attempt,
        part.agent,
        part.incarnation,
        int(part.cancelling),
        None if part.verdict is None else part.verdict.value,
        free_text(part.reason),
        part.ended,
        part.frames,
        part.due,
        pack_past(part.past),
    ]


def part_record(row: Sequence[Any]) -> PartRecord:
    """
    The part of a row as L{SELECT_PART} reads it.
    """
    number, job, place, names, state, attempt, agent, incarnation = row[:8]
    cancelling, verdict, reason, ended, frames, due, past, partials, released = row[8:]
    return PartRecord(
        number,
        job,
        place,
        None if names is None else _unpack_names(names),
        _STATES[state],
        attempt,
        None if agent is None else intern(agent),
        None if incarnation is None else intern(incarnation),
        bool(cancelling),
        None if verdict is None else _VERDICTS[verdict],
        reason,
        ended,
        frames,
        partials,
        due,
        None if past is None else _past.decode(past),
        released is not None,
    )


def fresh_part(row: Sequence[Any]) -> PartRecord | None:
    """
    The part of a row as L{PART_FRESH} reads it, if nothing happened to it.
    """
    number, job, place, names, fresh = row
    if not fresh:
        return None
    return PartRecord(number, job, place, None if names is None else _unpack_names(names))


def _pack_data(data: dict[str, Any]) -> bytes:
    try:
        return _json.encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError):
        # Whatever somebody put into an event, it must not stop the storage.
        return json.dumps({"unreadable": ascii(data)[:1000]}).encode()


def event_row(event: Event) -> tuple[Any, ...]:
    """
    An event in the order of L{EVENT}.
    """
    data = event.data
    return (
        event.number,
        event.at,
        event.kind,
        event.job,
        event.part,
        event.attempt,
        event.agent,
        None if data is None else _pack_data(data),
    )


def event_record(row: Sequence[Any]) -> Event:
    """
    The event of a row in the order of L{EVENT}.
    """
    number, at, kind, job, part, attempt, agent, data = row
    return Event(
        number, at, kind, job, part, attempt, agent, None if data is None else _data.decode(data)
    )


def agent_row(agent: AgentRecord) -> list[Any]:
    """
    An agent in the order of L{AGENT}.
    """
    return [agent.name, agent.number, agent.incarnation, agent.description, int(agent.living)]


def agent_record(row: Sequence[Any]) -> AgentRecord:
    """
    The agent of a row in the order of L{AGENT}.
    """
    name, number, incarnation, description, living = row
    return AgentRecord(name, number, incarnation, description, bool(living))
