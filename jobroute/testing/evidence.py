# -*- test-case-name: tests.simulation.test_checker -*-
"""
What the promises are judged by: the history of a run and what the store
holds at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from jobroute.model import Frames, JobHistory, PartRecord
from jobroute.testing.brokers import DEADLINE, GRACE, INTERVAL, LEASE
from jobroute.testing.clock import WALL
from jobroute.testing.history import Entry, History
from jobroute.testing.questions import JobPlan

Key = tuple[int, int]


def _name(who: str) -> str:
    """
    The name of the process of a life.
    """
    return who.partition(".")[0]


@frozen
class Stored:
    """
    A job as the store has it at the end.

    @ivar results: of its parts, by index.
    """

    history: JobHistory
    results: tuple[Frames, ...]

    @property
    def id(self) -> str:
        """
        The job's id.
        """
        return self.history.job.id


@frozen
class Life:
    """
    One life of a process.

    @ivar ended: when it was over, or L{None}.
    """

    who: str
    began: float
    ended: float | None


@frozen
class Work:
    """
    One function that ran.

    @ivar entry: its beginning.
    @ivar until: when it returned or its agent died; the end of the run if
        neither happened.
    @ivar over: the entry of its end, if it has one.
    """

    entry: Entry
    until: float
    over: Entry | None

    @property
    def who(self) -> str:
        """
        The life of the agent that did it.
        """
        return self.entry.who

    @property
    def key(self) -> Key:
        """
        The attempt.
        """
        return self.entry.said["part"], self.entry.said["attempt"]


@frozen
class Times:
    """
    The settings that the promises depend on, in seconds.

    @ivar slack: how late something may be: ticks, timers, messages on their
        way.
    @ivar patience: until when everybody has found each other again.
    @ivar wall: what the wall clock said at the beginning.
    """

    interval: float = INTERVAL
    lease: float = LEASE
    grace: float = GRACE
    deadline: float = DEADLINE
    slack: float = 1.5
    patience: float = 20.0
    wall: float = WALL


@define(eq=False)
class Evidence:
    """
    The history, indexed.

    @ivar stored: every job in the store, by number.
    @ivar finished: whether the run came to its end, so that what is open is
        late.
    @ivar broken: what was logged as a bug.
    @ivar limits: the limits of the broker that are small; L{None} if that is
        not known.
    @ivar event_numbers: of all events in the store.
    @ivar lives: of every process, by its name in the history.
    @ivar works: every function that ran, by part.
    @ivar incarnations: which life of an agent has which incarnation.
    @ivar asked: the questions, by who asked and their number.
    @ivar heard: what the broker heard, by incarnation.
    @ivar gave: the partial results that were given, by attempt.
    @ivar cancels: when an incarnation was first told to stop an attempt.
    @ivar lost_at: when an attempt was lost, or over.
    """

    history: History
    stored: dict[int, Stored] = field(factory=dict)
    finished: bool = True
    broken: list[str] = field(factory=list)
    times: Times = Times()
    limits: Mapping[str, int] | None = None
    event_numbers: Sequence[int] = ()
    lives: dict[str, Life] = field(factory=dict, init=False)
    works: dict[int, list[Work]] = field(factory=dict, init=False)
    incarnations: dict[str, str] = field(factory=dict, init=False)
    asked: dict[tuple[str, int], Entry] = field(factory=dict, init=False)
    heard: dict[str, list[Entry]] = field(factory=dict, init=False)
    gave: dict[Key, list[Entry]] = field(factory=dict, init=False)
    cancels: dict[tuple[str, int, int], float] = field(factory=dict, init=False)
    lost_at: dict[Key, float] = field(factory=dict, init=False)

    _strangers: set[int] = field(factory=set, init=False)
    _by_id: dict[str, Stored] = field(factory=dict, init=False)
    _by_job: dict[tuple[str, Any], list[Entry]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._by_id = {stored.id: stored for stored in self.stored.values()}
        self._read_lives()
        self._read_strangers()
        self._read_works()
        for entry in self.history.of("incarnation"):
            self.incarnations[entry.said["agent"]] = entry.who
        for entry in self.history.of("asked"):
            self.asked[entry.who, entry.said["ask"]] = entry
        for entry in self.history.of("heard"):
            self.heard.setdefault(entry.said["agent"], []).append(entry)
        for entry in self.history.of("said"):
            if entry.said["message"] == "cancel":
                said = entry.said
                self.cancels.setdefault((said["agent"], said["part"], said["attempt"]), entry.at)
        for entry in self.history.of("event"):
            if entry.said["kind"] in ("part.lost", "part.ended"):
                self.lost_at[entry.said["part"], entry.said["attempt"]] = entry.at
        # A broker may have died before it told what it had stored.
        for stored in () if self.stepped() else self.stored.values():
            for event in stored.history.events:
                if event.kind in ("part.lost", "part.ended"):
                    key = (event.part or 0, event.attempt or 0)
                    self.lost_at.setdefault(key, self.virtual(event.at))
        for entry in self.history.of("gave"):
            key = (entry.said["part"], entry.said["attempt"])
            self.gave.setdefault(key, []).append(entry)

    @property
    def end(self) -> float:
        """
        When the run was over.
        """
        return self.history.entries[-1].at if len(self.history) else 0.0

    def _read_lives(self) -> None:
        ended = {entry.who: entry.at for entry in self.history.of("died", "left", "gave-up")}
        for entry in self.history.of("born"):
            self.lives[entry.who] = Life(entry.who, entry.at, ended.get(entry.who))

    def _read_strangers(self) -> None:
        latest: dict[str, Entry] = {}
        for entry in self.history.of("heard", "said"):
            before = latest.get(entry.who)
            # What the broker says to a stranger it says at once.
            if before is not None and entry.get("message") == "reregister":
                self._strangers.add(before.number)
            latest[entry.who] = entry

    def _read_works(self) -> None:
        overs: dict[tuple[str, int, int], Entry] = {}
        for entry in self.history.of("ended"):
            overs[entry.who, entry.said["part"], entry.said["attempt"]] = entry
        for entry in self.history.of("began"):
            part, attempt = entry.said["part"], entry.said["attempt"]
            over = overs.get((entry.who, part, attempt))
            until = self.end if over is None else over.at
            life = self.lives.get(entry.who)
            if life is not None and life.ended is not None:
                until = min(until, life.ended)
            self.works.setdefault(part, []).append(Work(entry, until, over))

    # -- Questions and answers

    def answers(self, *commands: str) -> Iterator[tuple[Entry, Entry]]:
        """
        The questions of these commands that were answered, with the answers.
        """
        for entry in self.history.of("answered"):
            if not commands or entry.said["command"] in commands:
                yield self.asked[entry.who, entry.said["ask"]], entry

    def refusals(self) -> Iterator[tuple[Entry, Entry]]:
        """
        The questions that were refused, with the refusals.
        """
        for entry in self.history.of("refused"):
            yield self.asked[entry.who, entry.said["ask"]], entry

    def plan(self, asked: Entry) -> JobPlan:
        """
        What was handed in.
        """
        plan = asked.said["plan"]
        assert isinstance(plan, JobPlan)
        return plan

    def displaced(self, who: str, since: float, until: float) -> bool:
        """
        Whether another life of an agent may have taken its name.
        """
        name = _name(who)
        others = {i for i, of in self.incarnations.items() if of != who and _name(of) == name}
        return bool(others) and any(
            since <= entry.at <= until
            and entry.said["message"] in ("welcome", "pong")
            and entry.said["agent"] in others
            for entry in self.history.of("said", "heard")
        )

    def heard_of(self, who: str) -> list[Entry]:
        """
        What the broker heard of one life of an agent.
        """
        return [
            entry
            for incarnation, name in self.incarnations.items()
            if name == who
            for entry in self.heard.get(incarnation, ())
        ]

    def stranger(self, heard: Entry) -> bool:
        """
        Whether what the broker heard came from an agent that it did not know.
        """
        return heard.number in self._strangers

    # -- Jobs and parts

    def parts(self) -> Iterator[tuple[Stored, PartRecord, Frames]]:
        """
        Every part in the store, with its job and its result.
        """
        for stored in self.stored.values():
            for part, result in zip(stored.history.parts, stored.results, strict=True):
                yield stored, part, result

    def of_job(self, what: str, job: Any) -> list[Entry]:
        """
        The entries of a word that are about a job, in order.
        """
        if (what, None) not in self._by_job:
            self._by_job[what, None] = []
            for entry in self.history.of(what):
                self._by_job.setdefault((what, entry.get("job")), []).append(entry)
        return self._by_job.get((what, job), [])

    def by_id(self, id: str) -> Stored | None:
        """
        The job of an id.
        """
        return self._by_id.get(id)

    def works_of(self, part: int, attempt: int) -> list[Work]:
        """
        The functions that ran for an attempt.
        """
        return [work for work in self.works.get(part, ()) if work.key[1] == attempt]

    def events(self, stored: Stored, kind: str, part: int) -> list[Any]:
        """
        What was stored of a part.
        """
        return [e for e in stored.history.events if e.kind == kind and e.part == part]

    # -- Times

    @property
    def calm(self) -> float | None:
        """
        When the trouble was over, if it was.
        """
        found = self.history.of("calm")
        return found[0].at if found else None

    @property
    def ready_since(self) -> float | None:
        """
        Since when the last broker serves.
        """
        found = self.history.of("ready")
        return found[-1].at if found else None

    def virtual(self, wall: float) -> float:
        """
        What time it was in the history when the broker's wall clock said
        that; the first such moment, if there are several.
        """
        time = wall - self.times.wall
        for step in self.history.of("step"):
            if step.get("host") not in (None, "broker"):
                continue
            if time <= step.at:
                # It may have been before the step.
                return time
            time -= step.said["seconds"]
        return time

    def over(self, ended: float) -> float:
        """
        What time it was at least when something ended, of which the broker
        says when: never earlier than its monotonic clock knows.
        """
        return self.virtual(ended) - self.stepped()

    def downtime(self, since: float, until: float) -> float:
        """
        For how many seconds of a span of time no broker served; before the
        first one did, nothing is counted.
        """
        down = 0.0
        ended: float | None = None
        for entry in self.history.of("ready", "stopping", "died", "left"):
            if not entry.who.startswith("broker."):
                continue
            if entry.what != "ready":
                ended = entry.at if ended is None else ended
            elif ended is not None:
                down += max(0.0, min(entry.at, until) - max(ended, since))
                ended = None
        return down if ended is None else down + max(0.0, until - max(ended, since))

    def stepped(self) -> float:
        """
        By how many seconds the broker's wall clock and its monotonic one
        were moved against each other, in all.
        """
        moved = [e for e in self.history.of("step") if e.get("host") in (None, "broker")]
        moved += [e for e in self.history.of("jump") if e.who.startswith("broker.")]
        return float(sum(abs(entry.said["seconds"]) for entry in moved))

    def frozen(self, name: str, since: float, until: float) -> float:
        """
        For how many seconds of a span of time a process was frozen.
        """
        total, calm = 0.0, self.calm
        for entry in self.history.of("freeze"):
            if entry.who.startswith(f"{name}."):
                died = self.lives[entry.who].ended
                thawed = entry.at + entry.said["seconds"]
                if calm is not None and entry.at <= calm:
                    # Then all is mended at once.
                    thawed = min(thawed, calm)
                last = min(until, thawed if died is None else min(thawed, died))
                since = max(since, entry.at)
                total += max(0.0, last - since)
                # The next one may begin before this one is over.
                since = max(since, last)
        return total

    def stalled(self) -> float:
        """
        For how many seconds the disk committed nothing.
        """
        return float(sum(entry.said["seconds"] for entry in self.history.of("stall")))
