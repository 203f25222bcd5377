# -*- test-case-name: tests.storage.test_sqlite -*-
"""
Many changes as few statements.

What happened to one row within a batch becomes one change of it, and one
statement has several rows.  It has not very many: each step of a statement
lets go of the interpreter's lock, and after a long step the reactor's thread
has it, which takes long to get it back under load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from sqlite3 import Connection
from typing import Any

from attrs import define, evolve, field, frozen

from jobroute import model
from jobroute.model import Change
from jobroute.storage.rows import (
    AGENT,
    EVENT,
    JOB,
    JOB_ENDED,
    PART,
    PARTIAL,
    PAYLOAD,
    RESULT,
    agent_row,
    event_row,
    free_text,
    job_row,
    pack_frames,
    pack_past,
    part_row,
)

#: With how many rows there are statements, the most first.
_SIZES = (8, 1)

_KNOW_AGENT = (
    f"INSERT INTO agent ({', '.join(AGENT)}, at) VALUES ({', '.join('?' * len(AGENT))}, ?) "
    f"ON CONFLICT (name) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in AGENT[1:])}, "
    "at = excluded.at"
)
_AGENT_LIVING = AGENT.index("living")

_STOP = "INSERT OR IGNORE INTO stopped (what, name) VALUES (?, ?)"
_RESUME = "DELETE FROM stopped WHERE what = ? AND name = ?"

_PLACE = {column: place for place, column in enumerate(PART)}


@frozen
class Totals:
    """
    What is counted in the store: see its table C{broker}.
    """

    epoch: int = 0
    numbers: int = 1
    event: int = 0
    jobs: int = 0
    ended: int = 0
    parts: int = 0
    events: int = 0

    def store(self, connection: Connection) -> None:
        """
        Write them.
        """
        connection.execute(
            "UPDATE broker SET epoch = ?, numbers = ?, event = ?, jobs = ?, ended = ?, "
            "parts = ?, events = ?",
            (
                self.epoch,
                self.numbers,
                self.event,
                self.jobs,
                self.ended,
                self.parts,
                self.events,
            ),
        )


@cache
def _insert(table: str, columns: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


@cache
def _update(table: str, columns: tuple[str, ...], rows: int) -> str:
    """
    Changes these columns; the number stands first in each row.
    """
    row = f"({', '.join('?' * (len(columns) + 1))})"
    changes = ", ".join(f"{column} = new.column{i}" for i, column in enumerate(columns, 2))
    return (
        f"UPDATE {table} SET {changes} FROM (VALUES {', '.join([row] * rows)}) AS new "
        f"WHERE {table}.number = new.column1"
    )


def _chunks(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield size, list(chain.from_iterable(rows[start : start + size]))
            start += size


def _insert_all(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[Sequence[Any]],
) -> None:
    for size, values in _chunks(rows):
        connection.execute(_insert(table, columns, size), values)


def _update_all(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[Sequence[Any]],
) -> int:
    count = 0
    for size, values in _chunks(rows):
        count += connection.execute(_update(table, columns, size), values).rowcount
    return count


#: Finds the job of an event that only knows its part.
_OF_PART = (
    "UPDATE event SET job = (SELECT job FROM part WHERE part.number = event.part) WHERE number = ?"
)


@define(eq=False)
class Batch:
    """
    Everything that goes to disk in one transaction.

    @ivar position: up to which the journal is on disk when this is.
    @ivar writes: how often something was added to it.
    @ivar changes: how many changes are in it.
    @ivar forgotten: what retention says, if it said something.
    """

    position: int = 0
    writes: int = 0
    changes: int = 0
    forgotten: model.Forgotten | None = None
    _jobs: dict[int, list[Any]] = field(factory=dict)
    _payloads: list[Sequence[Any]] = field(factory=list)
    _parts: dict[int, list[Any]] = field(factory=dict)
    _parts_changed: dict[int, dict[str, Any]] = field(factory=dict)
    _results: list[Sequence[Any]] = field(factory=list)
    _partials: list[Sequence[Any]] = field(factory=list)
    _released: list[int] = field(factory=list)
    _jobs_ended: list[tuple[int, float]] = field(factory=list)
    _ended_at_once: int = 0
    _agents_left: list[str] = field(factory=list)
    _agents: dict[str, list[Any]] = field(factory=dict)
    _stopped: dict[tuple[str, str], bool] = field(factory=dict)
    _numbers: int = 0
    _events: list[tuple[Any, ...]] = field(factory=list)
    _events_of_parts: list[int] = field(factory=list)

    def add(self, position: int, changes: Sequence[Change]) -> None:
        """
        Take in what was written up to this position.
        """
        for change in changes:
            _ADD[type(change)](self, change)
        self.position = position
        self.writes += 1
        self.changes += len(changes)

    def store(self, connection: Connection, totals: Totals) -> Totals:
        """
        Write it all; a transaction is open.

        @return: what is counted afterwards.
        """
        _insert_all(connection, "job", JOB, [*self._jobs.values()])
        _insert_all(connection, "payload", PAYLOAD, self._payloads)
        _insert_all(connection, "part", PART, [*self._parts.values()])
        changed: dict[tuple[str, ...], list[Sequence[Any]]] = {}
        for number, values in self._parts_changed.items():
            changed.setdefault(tuple(values), []).append((number, *values.values()))
        for columns, rows in changed.items():
            _update_all(connection, "part", columns, rows)
        for number in self._released:
            connection.execute("UPDATE part SET released = 1 WHERE number = ?", (number,))
        _insert_all(connection, "result", RESULT, self._results)
        _insert_all(connection, "partial", PARTIAL, self._partials)
        ended = _update_all(connection, "job", ("ended",), self._jobs_ended)
        _insert_all(connection, "event", EVENT, self._events)
        for number in self._events_of_parts:
            connection.execute(_OF_PART, (number,))
        for name in self._agents_left:
            connection.execute("UPDATE agent SET living = 0 WHERE name = ?", (name,))
        for agent in self._agents.values():
            connection.execute(_KNOW_AGENT, agent)
        for what, stopped in self._stopped.items():
            connection.execute(_STOP if stopped else _RESUME, what)
        after = evolve(
            totals,
            numbers=max(totals.numbers, self._numbers),
            event=self._events[-1][0] if self._events else totals.event,
            jobs=totals.jobs + len(self._jobs),
            ended=totals.ended + ended + self._ended_at_once,
            parts=totals.parts + len(self._parts),
            events=totals.events + len(self._events),
        )
        if after != totals:
            after.store(connection)
        return after

    def _job_accepted(self, change: model.JobAccepted) -> None:
        self._jobs[change.job.number] = job_row(change.job)
        if change.payload:
            self._payloads.append((change.job.number, pack_frames(change.payload)))
        for part in change.parts:
            self._parts[part.number] = part_row(part)

    def _change_part(self, number: int, values: dict[str, Any]) -> None:
        row = self._parts.get(number)
        if row is not None:
            for column, value in values.items():
                row[_PLACE[column]] = value
        elif number in self._parts_changed:
            self._parts_changed[number].update(values)
        else:
            self._parts_changed[number] = values

    def _attempt_made(self, change: model.AttemptMade) -> None:
        self._change_part(
            change.part,
            {
                "state": "running",
                "attempt": change.attempt,
                "agent": change.agent,
                "incarnation": change.incarnation,
            },
        )

    def _part_queued(self, change: model.PartQueued) -> None:
        values: dict[str, Any] = {"state": "queued", "due": change.due}
        if change.past is not None:
            values["past"] = pack_past(change.past)
        self._change_part(change.part, values)

    def _cancel_requested(self, change: model.CancelRequested) -> None:
        self._change_part(change.part, {"cancelling": 1})

    def _partial_stored(self, change: model.PartialStored) -> None:
        frames = pack_frames(change.frames)
        self._partials.append((change.part, change.attempt, change.sequence, frames))

    def _part_ended(self, change: model.PartEnded) -> None:
        values: dict[str, Any] = {
            "state": "done",
            "agent": change.agent,
            "verdict": change.verdict.value,
            "reason": free_text(change.reason),
            "ended": change.at,
            "frames": len(change.frames),
        }
        if change.past is not None:
            values["past"] = pack_past(change.past)
        self._change_part(change.part, values)
        if change.frames:
            self._results.append((change.part, pack_frames(change.frames)))

    def _part_released(self, change: model.PartReleased) -> None:
        self._released.append(change.part)

    def _job_ended(self, change: model.JobEnded) -> None:
        row = self._jobs.get(change.job)
        if row is None:
            self._jobs_ended.append((change.job, change.at))
        else:
            row[JOB_ENDED] = change.at
            self._ended_at_once += 1

    def _agent_known(self, change: model.AgentKnown) -> None:
        self._agents[change.agent.name] = [*agent_row(change.agent), change.at]

    def _agent_left(self, change: model.AgentLeft) -> None:
        row = self._agents.get(change.name)
        if row is None:
            self._agents_left.append(change.name)
        else:
            row[_AGENT_LIVING] = 0

    def _stopping(self, change: model.Stopped) -> None:
        self._stopped[change.what, change.name] = change.stopped

    def _numbers_taken(self, change: model.NumbersTaken) -> None:
        self._numbers = max(self._numbers, change.limit)

    def _event(self, change: model.Event) -> None:
        self._events.append(event_row(change))
        if change.job is None and change.part is not None:
            self._events_of_parts.append(change.number)

    def _forgotten(self, change: model.Forgotten) -> None:
        self.forgotten = change


_ADD: dict[type, Callable[[Batch, Any], None]] = {
    model.JobAccepted: Batch._job_accepted,
    model.AttemptMade: Batch._attempt_made,
    model.PartQueued: Batch._part_queued,
    model.CancelRequested: Batch._cancel_requested,
    model.PartialStored: Batch._partial_stored,
    model.PartEnded: Batch._part_ended,
    model.PartReleased: Batch._part_released,
    model.JobEnded: Batch._job_ended,
    model.AgentKnown: Batch._agent_known,
    model.AgentLeft: Batch._agent_left,
    model.Stopped: Batch._stopping,
    model.NumbersTaken: Batch._numbers_taken,
    model.Event: Batch._event,
    model.Forgotten: Batch._forgotten,
}
