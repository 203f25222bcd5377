# -*- test-case-name: tests.storage.test_fsck -*-
"""
What is always true of a store.

Each invariant is one query that names the places where it is broken, so that
all of it is seen at one moment, and no more than a place at a time is in
memory however large the store is.  Where mending loses nothing that anybody
could still ask for, there are statements that mend it.
"""

from __future__ import annotations

from attrs import frozen

from jobroute.model import PartState, Verdict

#: What is true of what the broker counts: the table C{broker}'s columns, and
#: how they are counted anew.
COUNTED = {
    "jobs": "(SELECT count(*) FROM job)",
    "ended": "(SELECT count(*) FROM job WHERE ended IS NOT NULL)",
    "parts": "(SELECT count(*) FROM part)",
    "events": "(SELECT count(*) FROM event)",
}

#: The highest number that is in use.
_HIGHEST = (
    "max(coalesce((SELECT max(number) FROM job), 0), "
    "coalesce((SELECT max(number) FROM part), 0), "
    "coalesce((SELECT max(number) FROM agent), 0))"
)

#: What an event says, as JSON, or NULL.
_DATA = "CASE WHEN json_valid(CAST(event.data AS TEXT)) THEN CAST(event.data AS TEXT) END"

#: The latest epoch of which an event says that it began.
_BEGUN = f"(SELECT max(json_extract({_DATA}, '$.epoch')) FROM event WHERE kind = 'broker.started')"

_STATES = ", ".join(f"'{state}'" for state in PartState)
_VERDICTS = ", ".join(f"'{verdict}'" for verdict in Verdict)


@frozen
class Invariant:
    """
    Something that is always true.

    @ivar name: of the way in which it is broken.
    @ivar says: what is wrong, as one sentence.
    @ivar query: finds the places, one a row.
    @ivar repair: statements that mend it, if mending loses nothing.
    """

    name: str
    says: str
    query: str
    repair: tuple[str, ...] = ()


def _orphans(name: str, table: str, of: str, column: str, repair: bool = True) -> Invariant:
    lost = f"NOT EXISTS (SELECT 1 FROM {of} WHERE {of}.number = {table}.{column})"
    return Invariant(
        name,
        f"Rows of {table} belong to no {of}.",
        f"SELECT '{of} ' || {column} FROM {table} WHERE {lost}",
        (f"DELETE FROM {table} WHERE {lost}",) if repair else (),
    )


def _twice(first: str, second: str) -> str:
    return (
        f"SELECT '{first} and {second} ' || {first}.number FROM {first} JOIN {second} "
        f"ON {second}.number = {first}.number"
    )


def _damaged(table: str, key: str) -> Invariant:
    return Invariant(
        f"{table}-damaged",
        f"The checksum of a {table} is wrong.",
        f"SELECT '{key} ' || {key} FROM {table} WHERE frames_in(frames) < 0",
    )


INVARIANTS = (
    # The broker.
    Invariant(
        "broker-row",
        "There is not exactly one row about the broker.",
        "SELECT count(*) || ' rows' FROM broker HAVING count(*) <> 1",
    ),
    Invariant(
        "epoch",
        "The epoch is not a number that was begun, or an event is of a later one.",
        "SELECT 'epoch ' || epoch FROM broker WHERE typeof(epoch) <> 'integer' OR epoch < 0 "
        f"OR epoch < {_BEGUN}",
        (f"UPDATE broker SET epoch = {_BEGUN} WHERE epoch < {_BEGUN}",),
    ),
    Invariant(
        "number-not-taken",
        "A number is in use that was never taken, and would be given out again.",
        f"SELECT 'number ' || {_HIGHEST} FROM broker WHERE {_HIGHEST} >= numbers",
        (f"UPDATE broker SET numbers = {_HIGHEST} + 1 WHERE {_HIGHEST} >= numbers",),
    ),
    Invariant(
        "number-twice",
        "Two things have one number.",
        " UNION ALL ".join(
            (_twice("job", "part"), _twice("job", "agent"), _twice("part", "agent"))
        ),
    ),
    Invariant(
        "event-number",
        "An event has a number above the latest one.",
        "SELECT 'event ' || number FROM event WHERE number > (SELECT event FROM broker)",
        (
            "UPDATE broker SET event = (SELECT max(number) FROM event) "
            "WHERE event < (SELECT max(number) FROM event)",
        ),
    ),
    Invariant(
        "counts",
        "The broker counts other than there is.",
        " UNION ALL ".join(
            f"SELECT '{column} ' || {column} || ', not ' || {count} FROM broker "
            f"WHERE {column} <> {count}"
            for column, count in COUNTED.items()
        ),
        (f"UPDATE broker SET {', '.join(f'{c} = {n}' for c, n in COUNTED.items())}",),
    ),
    # Agents.
    Invariant(
        "agent-number",
        "Two agents have one number.",
        "SELECT 'number ' || number FROM agent GROUP BY number HAVING count(*) > 1",
    ),
    # Jobs.
    Invariant(
        "job-id",
        "Two jobs of a namespace have one id.",
        "SELECT 'job ' || max(number) FROM job GROUP BY id, namespace HAVING count(*) > 1",
    ),
    Invariant(
        "job-without-parts",
        "Jobs have no parts.",
        "SELECT 'job ' || number FROM job WHERE number NOT IN (SELECT job FROM part)",
    ),
    Invariant(
        "part-count",
        "Jobs have parts missing, or other than their target says.",
        "SELECT 'job ' || job.number FROM job JOIN "
        "(SELECT job AS number, count(*) AS parts, min(place) AS first, max(place) AS last "
        "FROM part GROUP BY job) AS has USING (number) "
        "WHERE first <> 0 OR last <> parts - 1 OR parts <> CASE WHEN count IS NOT NULL THEN count "
        "WHEN json_valid(CAST(names AS TEXT)) THEN json_array_length(CAST(names AS TEXT)) "
        "ELSE parts END",
    ),
    Invariant(
        "ended-with-open-part",
        "Jobs have ended while a part has no verdict.",
        "SELECT 'job ' || number FROM job WHERE ended IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM part WHERE part.job = job.number AND state <> 'done')",
    ),
    Invariant(
        "not-ended",
        "Jobs have not ended though all parts have a verdict.",
        "SELECT 'job ' || number FROM job WHERE ended IS NULL "
        "AND EXISTS (SELECT 1 FROM part WHERE part.job = job.number) "
        "AND NOT EXISTS (SELECT 1 FROM part WHERE part.job = job.number AND state <> 'done')",
        (
            "UPDATE job SET ended = (SELECT max(ended) FROM part WHERE part.job = job.number) "
            "WHERE ended IS NULL "
            "AND EXISTS (SELECT 1 FROM part WHERE part.job = job.number) "
            "AND NOT EXISTS (SELECT 1 FROM part WHERE part.job = job.number AND state <> 'done')",
        ),
    ),
    Invariant(
        "origin",
        "Jobs were made from a later one.",
        "SELECT 'job ' || number FROM job WHERE origin >= number",
    ),
    # Parts.
    _orphans("part-of-no-job", "part", "job", "job", repair=False),
    Invariant(
        "state",
        "Parts are in no state, or have a verdict, that there is.",
        f"SELECT 'part ' || number FROM part WHERE state NOT IN ({_STATES}) "
        f"OR verdict NOT IN ({_VERDICTS})",
    ),
    Invariant(
        "done-without-verdict",
        "Parts are done without a verdict, or not at any time.",
        "SELECT 'part ' || number FROM part "
        "WHERE state = 'done' AND (verdict IS NULL OR ended IS NULL)",
    ),
    Invariant(
        "verdict-not-done",
        "Parts have a verdict and are not done.",
        "SELECT 'part ' || number FROM part "
        "WHERE state <> 'done' AND (verdict IS NOT NULL OR ended IS NOT NULL)",
    ),
    Invariant(
        "attempt-number",
        "Parts have had more attempts than their job allows, or run without one.",
        "SELECT 'part ' || part.number FROM part JOIN job ON job.number = part.job "
        "WHERE attempt < 0 OR attempt > attempts OR state = 'running' AND attempt = 0",
    ),
    Invariant(
        "attempt-history",
        "Parts had an attempt that their row does not know.",
        "SELECT DISTINCT 'part ' || part.number FROM event JOIN part ON part.number = event.part "
        "WHERE kind = 'part.delivered' AND event.attempt > part.attempt",
    ),
    Invariant(
        "running-nowhere",
        "Parts run at an agent that is not living, or is another incarnation.",
        "SELECT 'part ' || part.number FROM part WHERE state = 'running' AND NOT EXISTS "
        "(SELECT 1 FROM agent WHERE name = part.agent AND living "
        "AND agent.incarnation = part.incarnation)",
    ),
    Invariant(
        "released",
        "Parts left the quarantine and were never in it.",
        "SELECT 'part ' || number FROM part WHERE released IS NOT NULL "
        "AND verdict IS NOT 'quarantined'",
    ),
    Invariant(
        "past",
        "What parts have cost, or how they are tried again, cannot be read.",
        "SELECT 'part ' || number FROM part WHERE past IS NOT NULL AND CASE "
        "WHEN json_valid(CAST(past AS TEXT)) THEN "
        "json_array_length(CAST(past AS TEXT), '$.evidence') "
        "> json_extract(CAST(past AS TEXT), '$.losses') ELSE 1 END "
        "UNION ALL SELECT 'job ' || number FROM job WHERE retry IS NOT NULL "
        "AND NOT json_valid(CAST(retry AS TEXT))",
    ),
    # What became of them.
    Invariant(
        "result-without-verdict",
        "Parts have a result and no verdict.",
        "SELECT 'part ' || number FROM part JOIN result ON result.part = number "
        "WHERE verdict IS NULL",
    ),
    Invariant(
        "frames",
        "Results have more or fewer frames than their part says, or are missing.",
        "SELECT 'part ' || number FROM part LEFT JOIN result ON result.part = number "
        "WHERE part.frames <> coalesce(frames_in(result.frames), 0) "
        "AND coalesce(frames_in(result.frames), 0) >= 0",
    ),
    Invariant(
        "partial-of-later",
        "Partial results are of an attempt that was never made, or numbered from below 1.",
        "SELECT DISTINCT 'part ' || part.number FROM partial JOIN part "
        "ON part.number = partial.part "
        "WHERE partial.attempt > part.attempt OR partial.attempt < 1 OR sequence < 1",
    ),
    Invariant(
        "ended-twice",
        "Parts have more than one event that says how they ended.",
        "SELECT 'part ' || part FROM event WHERE kind = 'part.ended' AND part IS NOT NULL "
        "GROUP BY part HAVING count(*) > 1",
    ),
    Invariant(
        "other-verdict",
        "Parts have another verdict than their event says.",
        "SELECT 'part ' || part.number FROM event JOIN part ON part.number = event.part "
        "WHERE kind = 'part.ended' "
        f"AND json_extract({_DATA}, '$.verdict') IS NOT part.verdict",
    ),
    Invariant(
        "event-of-other-job",
        "Events name a part and another job than the part's.",
        "SELECT 'event ' || event.number FROM event JOIN part ON part.number = event.part "
        "WHERE event.job IS NOT part.job",
    ),
    Invariant(
        "event-data",
        "What events say cannot be read.",
        "SELECT 'event ' || number FROM event WHERE data IS NOT NULL "
        "AND NOT json_valid(CAST(data AS TEXT))",
    ),
    _orphans("payload-of-no-job", "payload", "job", "job"),
    _orphans("result-of-no-part", "result", "part", "part"),
    _orphans("partial-of-no-part", "partial", "part", "part"),
    _damaged("payload", "job"),
    _damaged("result", "part"),
    _damaged("partial", "part"),
)
