# -*- test-case-name: tests.torture.test_judgement -*-
"""
A torture is over: what everybody saw, what the store holds, and the judge of
the simulation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from statistics import median
from typing import Any

from attrs import define, field, frozen

from jobroute.model import JobFilter
from jobroute.storage import queries
from jobroute.storage.schema import FILE
from jobroute.storage.sqlite import Readers
from jobroute.testing.checker import PROMISES, Breach, judge, title
from jobroute.testing.evidence import Evidence, Stored
from jobroute.testing.history import Entry
from jobroute.testing.promises import verdict_for_every_part
from jobroute.testing.torture.notes import merged
from jobroute.testing.torture.orders import Place
from jobroute.testing.torture.settings import About

#: What holds only when everything was waited for.
_AT_THE_END = (verdict_for_every_part,)

#: So many jobs are read from the store at a time.
_PAGE = 1000


def read_store(place: Place) -> dict[int, Stored]:
    """
    Every job in the store of a broker that does not run, by number.
    """
    path = place.data / FILE
    if not path.exists():
        return {}
    readers = Readers(str(path))
    found: dict[int, Stored] = {}
    try:
        before: int | None = None
        while page := readers.read(queries.jobs, JobFilter(), before, _PAGE):
            for summary in page:
                number = summary.job.number
                history = readers.read(queries.history, number)
                results = [readers.read(queries.result, part.number) for part in history.parts]
                found[number] = Stored(history, tuple(results))
            before = page[-1].job.number
    finally:
        readers.close()
    return found


def evidence_of(place: Place, about: About) -> Evidence:
    """
    Everything that there is to judge.
    """
    history = merged(place.notes)
    broken = [f"{e.who}: {e.said['text']}" for e in history.of("bug", "broken")]
    finished = bool(history.of("over"))
    # No limit of this broker is small.
    return Evidence(history, read_store(place), finished, broken, about.times, limits={})


@define(eq=False)
class Judgement:
    """
    How a torture went.

    @ivar held: each promise, and how often it was broken.
    """

    about: About
    evidence: Evidence
    breaches: list[Breach] = field(init=False)
    held: dict[str, int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        which = [p for p in PROMISES if self.evidence.finished or p not in _AT_THE_END]
        self.breaches = judge(self.evidence, which)
        counted = Counter(breach.promise for breach in self.breaches)
        self.held = {title(promise): counted[title(promise)] for promise in which}

    @property
    def kept(self) -> bool:
        """
        Whether no promise was broken.
        """
        return not self.breaches


def judged(place: Place) -> Judgement:
    """
    Judge a torture by what it left.

    @raise ConfigurationError: if there was none.
    """
    about = About.read(place)
    return Judgement(about, evidence_of(place, about))


@frozen
class Outstanding:
    """
    How many jobs were open when somebody was hit.
    """

    least: int
    middle: float
    most: int


def _hits(evidence: Evidence) -> list[Entry]:
    """
    Those of the trouble; at the end everybody is asked to leave.
    """
    found = evidence.history.of("hit")
    return [e for e in found if evidence.calm is None or e.at < evidence.calm]


def outstanding(evidence: Evidence) -> Outstanding | None:
    """
    Count the jobs that were accepted and had not ended, at each hit of the
    trouble; by the store, in which those of calls are not.
    """
    wall = evidence.times.wall
    began = sorted(s.history.job.submitted - wall for s in evidence.stored.values())
    ended = sorted(
        s.history.ended - wall for s in evidence.stored.values() if s.history.ended is not None
    )
    counts = [bisect_right(began, hit.at) - bisect_left(ended, hit.at) for hit in _hits(evidence)]
    if not counts:
        return None
    return Outstanding(min(counts), float(median(counts)), max(counts))


def kind_of(who: str) -> str:
    """
    What somebody is: C{broker}, C{agents} or C{clients}.
    """
    return {"b": "broker", "a": "agents", "c": "clients"}[who[0]]


def hits(evidence: Evidence) -> dict[str, dict[str, int]]:
    """
    How often each kind of victim was hit by each signal.
    """
    found: dict[str, dict[str, int]] = {k: {} for k in ("broker", "agents", "clients")}
    for entry in _hits(evidence):
        counts = found[kind_of(entry.who)]
        counts[entry.said["signal"]] = counts.get(entry.said["signal"], 0) + 1
    return found


def bodies(evidence: Evidence) -> dict[str, Any] | None:
    """
    What the lives of the broker needed of the machine.
    """
    measured = [e for e in evidence.history.of("body") if e.who.startswith("broker.")]
    if not measured:
        return None
    grown = [e.said["rss"][1] - e.said["rss"][0] for e in measured]
    opened = [e.said["files"][1] - e.said["files"][0] for e in measured]
    return {
        "lives": len(measured),
        "rss_most": max(e.said["rss"][1] for e in measured),
        "rss_grown_middle": median(grown),
        "rss_grown_most": max(grown),
        "files_most": max(e.said["files"][1] for e in measured),
        "files_grown_middle": median(opened),
        "files_grown_most": max(opened),
    }


def starts(evidence: Evidence) -> list[float]:
    """
    How many seconds each life of the broker needed until it served.
    """
    ready = {entry.who: entry.at for entry in evidence.history.of("ready")}
    frozen = {entry.who for entry in evidence.history.of("freeze")}
    return sorted(
        ready[life.who] - life.began
        for life in evidence.lives.values()
        if life.who in ready and life.who not in frozen
    )
