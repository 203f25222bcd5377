# -*- test-case-name: tests.storage.test_sqlite -*-
"""
What is past its retention goes, a little at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection

from attrs import evolve

from jobroute.model import Forgotten
from jobroute.storage.batch import Totals

#: For how long one transaction forgets, in seconds.
_BUDGET = 0.01

_JOBS = 64
_EVENTS = 512


def forget_some(
    connection: Connection,
    forgotten: Forgotten,
    totals: Totals,
    monotonic: Callable[[], float],
) -> tuple[Totals, bool]:
    """
    Forget for a short time; a transaction is open.

    @return: what is counted afterwards, and whether there is more to forget.
    """
    until = monotonic() + _BUDGET
    after = totals
    more = True
    while more:
        after, more_jobs = _forget_jobs(connection, forgotten, after)
        after, more_events = _forget_events(connection, forgotten, after)
        more = more_jobs or more_events
        if monotonic() > until:
            break
    if after != totals:
        after.store(connection)
    return after, more


def _forget_jobs(
    connection: Connection, forgotten: Forgotten, totals: Totals
) -> tuple[Totals, bool]:
    excess = totals.ended - forgotten.jobs
    oldest = connection.execute(
        "SELECT number, ended FROM job WHERE ended IS NOT NULL ORDER BY ended, number LIMIT ?",
        (_JOBS,),
    ).fetchall()
    going = [
        number
        for place, (number, ended) in enumerate(oldest)
        if place < excess or ended < forgotten.before
    ]
    if not going:
        return totals, False
    some = f"({', '.join('?' * len(going))})"
    # What hangs on these goes with them; parts apart, since they are counted.
    parts = connection.execute(f"DELETE FROM part WHERE job IN {some}", going).rowcount
    connection.execute(f"DELETE FROM job WHERE number IN {some}", going)
    after = evolve(
        totals,
        jobs=totals.jobs - len(going),
        ended=totals.ended - len(going),
        parts=totals.parts - parts,
    )
    return after, len(going) == _JOBS


def _forget_events(
    connection: Connection, forgotten: Forgotten, totals: Totals
) -> tuple[Totals, bool]:
    # By count: the numbers leap when a copy of a store is taken up.
    excess = totals.events - forgotten.events
    if excess <= 0:
        return totals, False
    count = connection.execute(
        "DELETE FROM event WHERE number IN (SELECT number FROM event ORDER BY number LIMIT ?)",
        (min(excess, _EVENTS),),
    ).rowcount
    return evolve(totals, events=totals.events - count), 0 < count < excess
