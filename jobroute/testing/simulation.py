# -*- test-case-name: tests.simulation.test_simulation -*-
"""
One run of the simulation, from its seed to its judgement.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from jobroute.log import least_level, set_level
from jobroute.model import JobFilter
from jobroute.testing.checker import Breach, judge
from jobroute.testing.disk import FSYNC
from jobroute.testing.evidence import Evidence, Stored
from jobroute.testing.faults import FAULTS, Fault
from jobroute.testing.world import World

T = TypeVar("T")

#: So many jobs are read from the store at a time.
_PAGE = 10_000


@frozen
class Report:
    """
    How a run went.

    @ivar breaches: the promises that were broken.
    @ivar messages: how many messages came to somebody.
    @ivar seconds: of simulated time.
    @ivar coverage: how many faults struck when a part was in which state.
    """

    seed: int
    evidence: Evidence
    breaches: list[Breach]
    messages: int
    seconds: float
    coverage: dict[tuple[str, str], int] = field(factory=dict)

    @property
    def digest(self) -> str:
        """
        The same for two runs in which the same happened.
        """
        return self.evidence.history.digest()


def simulate(seed: int, faults: Mapping[Fault, int] = FAULTS) -> Report:
    """
    Run a world and judge it.
    """
    world = World(seed, faults)
    bugs = Bugs(lambda: world.dying)
    with bugs.listening(), _uncollected():
        world.run()
        stored = _stored(world)
        evidence = Evidence(
            world.history,
            stored,
            world.quiet,
            bugs.found,
            limits=world.scene.limits,
            event_numbers=world.broker.disk.events(),
        )
    return Report(
        seed,
        evidence,
        judge(evidence),
        world.network.delivered,
        world.clock.now,
        world.coverage.counts,
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """
    Let the garbage of a run, which is short, be collected after it.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@implementer(ILogObserver)
@define
class Bugs:
    """
    Hears what is logged as a bug.

    @ivar found: what was said of each.
    @ivar ignored: whether what is said just now is of no interest.
    """

    ignored: Callable[[], bool] = lambda: False

    found: list[str] = field(factory=list)

    def __call__(self, event: LogEvent) -> None:
        """
        Something was logged.
        """
        if event.get("log_level") is LogLevel.critical and not self.ignored():
            if event.get("reason") == FSYNC:
                return
            failure = event.get("log_failure")
            said = formatEvent(event)
            self.found.append(said if failure is None else f"{said} {failure.getTraceback()}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """
        Listen, and let nothing else be logged meanwhile.
        """
        before = least_level()
        set_level("critical")
        globalLogPublisher.addObserver(self)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(self)
            set_level(before)


def _stored(world: World) -> dict[int, Stored]:
    """
    Everything that is in the store.
    """
    disk = world.broker.disk
    disk.commit()
    disk.answers = None
    if not world.broker.serving:
        return {}
    summaries = _now(disk.jobs(JobFilter(), None, _PAGE))
    return {summary.job.number: _job(world, summary.job.number) for summary in summaries}


def _job(world: World, number: int) -> Stored:
    disk = world.broker.disk
    history = _now(disk.history(number))
    return Stored(history, tuple(_now(disk.result(part.number)) for part in history.parts))


def _now(answer: Deferred[T]) -> T:
    """
    What is there already.
    """
    found: list[T] = []
    answer.addCallback(found.append)
    return found[0]
