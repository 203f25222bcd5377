"""
Memory and SQLite give the same answers, whatever happened.
"""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import JobrouteError
from jobroute.interfaces import IStorage
from jobroute.model import (
    AgentKnown,
    AgentLeft,
    AgentRecord,
    AttemptMade,
    CancelRequested,
    Change,
    Event,
    Forgotten,
    JobAccepted,
    JobEnded,
    JobFilter,
    JobRecord,
    Loss,
    NumbersTaken,
    PartEnded,
    PartialStored,
    PartQueued,
    PartRecord,
    PartReleased,
    Past,
    Retry,
    Stopped,
    Target,
    Verdict,
)
from jobroute.storage.memory import MemoryStorage
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import Broker

NAMES = st.sampled_from(["a", "b", "c-1"])
FRAMES = st.lists(st.binary(max_size=9), max_size=3).map(tuple)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
NUMBERS = st.floats(0, 1e10)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
TARGETS = st.builds(
    Target, st.none() | st.lists(NAMES, min_size=1).map(tuple), st.none() | st.integers(1, 9)
)
RETRIES = st.builds(
    Retry, st.lists(st.sampled_from(Verdict), max_size=3).map(tuple), NUMBERS, NUMBERS
)
LOSSES = st.builds(
    Loss, NAMES, NUMBERS, st.integers(1, 99), st.integers(1, 9), TEXTS, st.none() | TEXTS
)
PASTS = st.builds(
    Past,
    st.integers(0, 9),
    st.lists(LOSSES, max_size=2).map(tuple),
    st.lists(NAMES, max_size=2).map(tuple),
)


#: What may happen.
WHAT = ("accept", "part", "part", "event", "agent", "stop", "cut", "forget")


@st.composite
def histories(draw: st.DrawFn) -> list[list[Change]]:
    """
    What a broker could write, in its writes.
    """
    changes: list[Change] = []
    number = event = 0
    attempts: dict[int, int] = {}
    sequences: dict[int, int] = {}
    open_jobs: dict[int, set[int]] = {}

    def accept() -> None:
        nonlocal number
        number += draw(st.integers(1, 3))
        job = JobRecord(
            number,
            draw(NAMES),
            f"{draw(TEXTS)}.{number}",
            draw(NAMES),
            draw(NAMES),
            draw(TARGETS),
            draw(st.binary(max_size=9)),
            draw(st.binary(max_size=4)),
            draw(st.integers(-1000, 1000)),
            draw(st.integers(1, 9)),
            draw(st.none() | NUMBERS),
            draw(st.none() | NUMBERS),
            draw(NUMBERS),
            draw(NUMBERS),
            draw(st.none() | RETRIES),
            draw(st.none() | st.integers(1, 9)),
            draw(st.none() | st.integers(1, 9)),
        )
        parts = []
        for index in range(draw(st.integers(1, 3))):
            number += 1
            names = draw(st.none() | st.lists(NAMES, max_size=2).map(tuple))
            past = draw(st.none() | PASTS)
            parts.append(PartRecord(number, job.number, index, names, past=past))
            attempts[number] = sequences[number] = 0
        open_jobs[job.number] = {part.number for part in parts}
        changes.append(JobAccepted(job, tuple(parts), draw(FRAMES)))

    def happen(job: int, part: int) -> None:
        what = draw(st.sampled_from(["attempt", "queued", "cancel", "partial", "ended", "ended"]))
        if what == "attempt":
            attempts[part] += 1
            sequences[part] = 0
            changes.append(
                AttemptMade(part, attempts[part], draw(NAMES), draw(TEXTS), draw(NUMBERS))
            )
        elif what == "queued":
            changes.append(PartQueued(part, draw(st.none() | NUMBERS), draw(st.none() | PASTS)))
        elif what == "cancel":
            changes.append(CancelRequested(part))
        elif what == "partial":
            sequences[part] += 1
            changes.append(PartialStored(part, attempts[part], sequences[part], draw(FRAMES)))
        else:
            changes.append(
                PartEnded(
                    part,
                    draw(st.sampled_from([*Verdict, Verdict.QUARANTINED])),
                    draw(st.none() | TEXTS),
                    draw(st.none() | NAMES),
                    draw(NUMBERS),
                    draw(FRAMES),
                    draw(st.none() | PASTS),
                )
            )
            if draw(st.booleans()):
                changes.append(PartReleased(part))
            open_jobs[job].discard(part)
            if not open_jobs[job]:
                del open_jobs[job]
                changes.append(JobEnded(job, draw(NUMBERS)))

    writes: list[list[Change]] = []
    for _ in range(draw(st.integers(0, 25))):
        what = draw(st.sampled_from(WHAT))
        if what == "accept":
            accept()
        elif what == "part" and open_jobs:
            job = draw(st.sampled_from(list(open_jobs)))
            happen(job, draw(st.sampled_from(sorted(open_jobs[job]))))
        elif what == "event":
            event += 1
            about = draw(st.none() | st.integers(1, number + 1))
            data = draw(st.none() | st.dictionaries(TEXTS, JSON, max_size=3))
            changes.append(Event(event, draw(NUMBERS), draw(NAMES), about, None, 1, None, data))
        elif what == "agent":
            name = draw(NAMES)
            known = AgentRecord(name, ord(name[0]), draw(TEXTS), draw(st.binary(max_size=4)))
            changes.append(AgentKnown(known, 1.0) if draw(st.booleans()) else AgentLeft(name))
            changes.append(NumbersTaken(draw(st.integers(1, 10**12))))
        elif what == "stop":
            stopping = draw(st.sampled_from(["agent", "service"]))
            changes.append(Stopped(stopping, draw(NAMES), draw(st.booleans())))
        elif what == "cut" and changes:
            writes.append(changes[:])
            changes.clear()
        elif what == "forget":
            keep = st.integers(0, 4)
            order = Forgotten(draw(NUMBERS | st.just(0.0)), draw(keep | st.just(99)), draw(keep))
            writes += [changes[:], [order]]
            changes.clear()
    return [*writes, changes]


FILTERS = st.builds(
    JobFilter,
    st.none() | NAMES,
    st.none() | NAMES,
    st.none() | NAMES,
    st.none() | st.sampled_from(["open", "ended"]),
    st.none() | st.sampled_from(Verdict),
)
PAGES = st.tuples(FILTERS, st.none() | st.integers(0, 60), st.integers(1, 9))


class SameAnswersTests(SynchronousTestCase):
    """
    L{MemoryStorage} and L{SQLiteStorage} cannot be told apart.
    """

    def told(
        self, storage: IStorage, pump: Pump, writes: list[list[Change]], pages: list[Any]
    ) -> Any:
        """
        Everything that a storage answers after a history.
        """
        broker = Broker(storage, pump)
        said: list[Any] = [broker.open()]

        def ask(method: str, *arguments: Any) -> None:
            try:
                said.append(pump.wait(getattr(storage, method)(*arguments)))
            except JobrouteError as e:
                said.append((type(e), str(e)))

        for changes in writes:
            broker.store(*changes)
        broker.close()
        said.append(broker.open())
        for which, before, limit in pages:
            ask("jobs", which, before, limit)
            ask("quarantined", which.namespace, which.service, before, limit)
        for number in range(60):
            ask("history", number)
            ask("payload", number)
            ask("result", number)
            ask("parts", number)
            ask("partials", number, 1, 0, 5)
        jobs = [c.job for changes in writes for c in changes if isinstance(c, JobAccepted)]
        for job in jobs:
            ask("find", job.namespace, [job.id, "nobody"])
        statistics = pump.wait(storage.statistics())
        said.append({**statistics, "bytes": 0})
        broker.close()
        said.append(broker.troubles)
        return said

    # Shrinking takes minutes here, and says little more.
    @settings(
        max_examples=60,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(histories(), st.lists(PAGES, max_size=4))
    def test_same(self, writes: list[list[Change]], pages: list[Any]) -> None:
        """
        The same history gives the same answers.
        """
        pump = Pump()
        with TemporaryDirectory() as directory:
            sqlite = SQLiteStorage(os.path.join(directory, "store"), pump, SystemClock())
            stored = self.told(sqlite, pump, writes, pages)
        kept = self.told(MemoryStorage(pump.later), pump, writes, pages)
        for one, other in zip(stored, kept, strict=True):
            self.assertEqual(one, other)
