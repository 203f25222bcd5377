# -*- test-case-name: tests.storage.test_sqlite -*-
"""
Every question that is put to the database.

Each is a function of a connection, on which a transaction is open, so that
all that it reads is of one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from sqlite3 import Connection
from typing import Any

from attrs import evolve

from jobroute.errors import NoSuchJob
from jobroute.model import (
    Content,
    Frames,
    JobFilter,
    JobHistory,
    JobRecord,
    JobSummary,
    PartRecord,
    Quarantined,
    Restored,
    Verdict,
)
from jobroute.storage.batch import Totals
from jobroute.storage.rows import (
    AGENT,
    EVENT,
    JOB,
    JOB_ENDED,
    PART_FRESH,
    SELECT_PART,
    agent_record,
    event_record,
    fresh_part,
    job_record,
    part_record,
    unpack_frames,
)

#: How many values stand in one list.
_LIST = 500

_JOB = ", ".join("job." + column for column in JOB)
#: A page shows no headers.
_JOB_SUMMARY = _JOB.replace("job.header", "x''")
#: Nor is there room for what makes a job that job.
_JOB_RESTORED = _JOB_SUMMARY.replace("job.digest", "x''")


def totals(connection: Connection) -> Totals:
    """
    What is counted in the store.
    """
    row = connection.execute(
        "SELECT epoch, numbers, event, jobs, ended, parts, events FROM broker"
    ).fetchone()
    return Totals(*row)


def copied(connection: Connection) -> float | None:
    """
    When the store was made as a copy of another, if it was, and nobody has
    used it since.
    """
    at: float | None = connection.execute("SELECT copied FROM broker").fetchone()[0]
    return at


def restored(connection: Connection, found: Totals, limit: int) -> Restored:
    """
    What a broker needs to go on, but for the jobs.
    """
    agents = connection.execute(f"SELECT {', '.join(AGENT)} FROM agent ORDER BY name")
    stopped = connection.execute("SELECT what, name FROM stopped ORDER BY what, name")
    return Restored(
        epoch=found.epoch + 1,
        numbers=found.numbers,
        event=found.event,
        agents=tuple(map(agent_record, agents)),
        limit=limit,
        stopped=tuple(stopped),
    )


def unended(connection: Connection) -> Iterator[tuple[JobRecord, tuple[PartRecord, ...]]]:
    """
    The jobs that have not ended, by number, with their parts.  What has ended
    costs nothing.
    """
    jobs = connection.execute(
        f"SELECT {_JOB_RESTORED} FROM job WHERE ended IS NULL ORDER BY number"
    )
    parts = connection.execute(
        f"SELECT {PART_FRESH} FROM job CROSS JOIN part ON part.job = job.number "
        "WHERE job.ended IS NULL ORDER BY job.number, part.place"
    )
    row = next(parts, None)
    for job in jobs:
        own: list[PartRecord] = []
        while row is not None and row[1] == job[0]:
            part = fresh_part(row)
            if part is None:
                # Something happened to it, which is true of few.
                number = (row[0],)
                found = connection.execute(SELECT_PART + "WHERE number = ?", number).fetchone()
                part = part_record(found)
            own.append(part)
            row = next(parts, None)
        yield job_record(job), tuple(own)


def no_such_job(job: int) -> NoSuchJob:
    """
    A job is not there.
    """
    return NoSuchJob(f"No job has the number {job}, or it is past its retention.")


def payload(connection: Connection, job: int) -> Frames:
    """
    The payload of a job.

    @raise NoSuchJob: if there is no such job.
    """
    row = connection.execute(
        "SELECT frames FROM job LEFT JOIN payload ON payload.job = job.number WHERE job.number = ?",
        (job,),
    ).fetchone()
    if row is None:
        raise no_such_job(job)
    return () if row[0] is None else unpack_frames(row[0])


def contents(connection: Connection, jobs: Sequence[int]) -> dict[int, Content]:
    """
    Headers and payloads of those jobs that there are.
    """
    found: dict[int, Content] = {}
    for start in range(0, len(jobs), _LIST):
        some = jobs[start : start + _LIST]
        rows = connection.execute(
            "SELECT job.number, header, frames FROM job LEFT JOIN payload "
            f"ON payload.job = job.number WHERE job.number IN ({_marks(some)})",
            some,
        )
        for number, header, frames in rows:
            found[number] = Content(header, () if frames is None else unpack_frames(frames))
    return found


def result(connection: Connection, part: int) -> Frames:
    """
    The result of a part.
    """
    row = connection.execute("SELECT frames FROM result WHERE part = ?", (part,)).fetchone()
    return () if row is None else unpack_frames(row[0])


def partials(
    connection: Connection, part: int, attempt: int, after: int, limit: int
) -> list[tuple[int, Frames]]:
    """
    Partial results of an attempt, in order.
    """
    rows = connection.execute(
        "SELECT sequence, frames FROM partial WHERE part = ? AND attempt = ? AND sequence > ? "
        "ORDER BY sequence LIMIT ?",
        (part, attempt, after, limit),
    )
    return [(sequence, unpack_frames(frames)) for sequence, frames in rows]


def find(connection: Connection, namespace: str, ids: Sequence[str]) -> dict[str, JobRecord]:
    """
    Those of the jobs with these ids that exist.
    """
    found: dict[str, JobRecord] = {}
    for start in range(0, len(ids), _LIST):
        some = ids[start : start + _LIST]
        rows = connection.execute(
            f"SELECT {_JOB} FROM job WHERE namespace = ? AND id IN ({_marks(some)})",
            (namespace, *some),
        )
        found.update((job.id, job) for job in map(job_record, rows))
    return found


def parts(connection: Connection, job: int) -> tuple[PartRecord, ...]:
    """
    The parts of a job, by index.
    """
    rows = connection.execute(SELECT_PART + "WHERE job = ? ORDER BY place", (job,))
    return tuple(map(part_record, rows))


def jobs(
    connection: Connection, which: JobFilter, before: int | None, limit: int
) -> list[JobSummary]:
    """
    A page of jobs, the newest first.
    """
    tables = "job"
    where: list[str] = []
    values: list[Any] = []
    for column in ("namespace", "service", "client"):
        value = getattr(which, column)
        if value is not None:
            # The unary plus keeps an index of many equal values out of it.
            where.append(f"+job.{column} = ?")
            values.append(value)
    if which.state is not None:
        where.append("job.ended IS NULL" if which.state == "open" else "+job.ended IS NOT NULL")
    number, group = "job.number", ""
    if which.verdict is Verdict.SUCCEEDED:
        where.append(
            "EXISTS (SELECT 1 FROM part WHERE part.job = job.number AND part.verdict = 'succeeded')"
        )
    elif which.verdict is not None:
        # The same words as in the index on the verdicts that are seldom.
        tables = "part CROSS JOIN job ON job.number = part.job"
        where += ["part.verdict = ?", "part.verdict <> 'succeeded'"]
        values.append(which.verdict.value)
        number = "part.job"
        group = "GROUP BY part.job "
    if before is not None:
        where.append(f"{number} < ?")
        values.append(before)
    condition = f"WHERE {' AND '.join(where)} " if where else ""
    rows = connection.execute(
        f"SELECT {_JOB_SUMMARY} FROM {tables} {condition}{group}ORDER BY {number} DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    found = {row[0]: JobSummary(job_record(row), 0, {}, row[JOB_ENDED]) for row in rows}
    numbers = list(found)
    for start in range(0, len(numbers), _LIST):
        some = numbers[start : start + _LIST]
        for job, verdict, count in connection.execute(
            "SELECT job, verdict, count(*) FROM part "
            f"WHERE job IN ({_marks(some)}) GROUP BY job, verdict",
            some,
        ):
            summary = found[job]
            verdicts = summary.verdicts
            if verdict is not None:
                verdicts = {**verdicts, Verdict(verdict): count}
            found[job] = evolve(summary, parts=summary.parts + count, verdicts=verdicts)
    return list(found.values())


def quarantined(
    connection: Connection,
    namespace: str | None,
    service: str | None,
    before: int | None,
    limit: int,
) -> list[Quarantined]:
    """
    A page of the parts in quarantine, the newest first.
    """
    # The same words as in the index on them.
    where = ["part.verdict = 'quarantined'", "part.released IS NULL"]
    values: list[Any] = []
    for condition, value in (
        ("job.namespace = ?", namespace),
        ("job.service = ?", service),
        ("part.number < ?", before),
    ):
        if value is not None:
            where.append(condition)
            values.append(value)
    found = connection.execute(
        f"{SELECT_PART} CROSS JOIN job ON job.number = part.job WHERE {' AND '.join(where)} "
        "ORDER BY part.number DESC LIMIT ?",
        (*values, limit),
    )
    page = [part_record(row) for row in found]
    jobs: dict[int, JobRecord] = {}
    for part in page:
        if part.job not in jobs:
            (row,) = connection.execute(
                f"SELECT {_JOB_SUMMARY} FROM job WHERE number = ?", (part.job,)
            )
            jobs[part.job] = job_record(row)
    return [Quarantined(jobs[part.job], part) for part in page]


def history(connection: Connection, job: int) -> JobHistory:
    """
    Everything about a job.

    @raise NoSuchJob: if there is no such job.
    """
    row = connection.execute(f"SELECT {_JOB} FROM job WHERE number = ?", (job,)).fetchone()
    if row is None:
        raise no_such_job(job)
    events = connection.execute(
        f"SELECT {', '.join(EVENT)} FROM event WHERE job = ? ORDER BY number", (job,)
    )
    return JobHistory(
        job_record(row),
        parts(connection, job),
        row[JOB_ENDED],
        tuple(map(event_record, events)),
    )


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
