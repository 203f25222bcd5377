# -*- test-case-name: tests.cli.test_demo -*-
"""
C{jobroute demo}: a broker, four agents, a job for each module of Python's
standard library, and what happens when an agent and the broker are killed.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import click
from attrs import define, frozen

from jobroute.cli.modules import Measured, Module, modules, read_measured
from jobroute.cli.screen import Column, Screen, span
from jobroute.cli.session import Session, pass_session
from jobroute.cli.stage import Stage
from jobroute.client import Client, Outcome, Submitted
from jobroute.errors import WaitTimeout

#: Who is there from the beginning, who is killed, and who comes for him.
_AGENTS = ("demo-1", "demo-2", "demo-3", "demo-4")
_VICTIM = "demo-2"
_SUCCESSOR = "demo-5"

#: No job may take longer, so that the demo ends in any case.
_DEADLINE = 300.0

#: So many seconds one job is waited for before another one is looked at.
_GLANCE = 0.25

#: So many rows the long tables have.
_ROWS = 10


@frozen
class Result:
    """
    What all jobs gave.

    @ivar seconds: from the submission of the first to the end of the last.
    """

    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def measured(self) -> list[Measured]:
        """
        What the agents found out.
        """
        return [read_measured(o.job, o.data) for o in self.outcomes if o.succeeded]

    @property
    def failed(self) -> list[Outcome]:
        """
        The jobs that did not succeed.
        """
        return [outcome for outcome in self.outcomes if not outcome.succeeded]

    @property
    def again(self) -> list[Outcome]:
        """
        The jobs that needed a second attempt.
        """
        return [outcome for outcome in self.outcomes if outcome.parts[0].attempts > 1]

    @property
    def by_agent(self) -> dict[str, tuple[int, float]]:
        """
        How many jobs, and how many seconds of them, each agent did.
        """
        seconds = {
            o.job: read_measured(o.job, o.data).seconds for o in self.outcomes if o.succeeded
        }
        found: dict[str, tuple[int, float]] = {}
        for outcome in self.outcomes:
            agent = outcome.parts[0].agent or "nobody"
            jobs, spent = found.get(agent, (0, 0.0))
            found[agent] = (jobs + 1, spent + seconds.get(outcome.job, 0.0))
        return dict(sorted(found.items()))


@define(eq=False)
class Story:
    """
    The demo, act by act.

    @ivar asked: how many modules are wanted.
    """

    screen: Screen
    stage: Stage
    asked: int

    def tell(self, sentence: str) -> None:
        """
        Say what happens.
        """
        if not self.screen.json:
            self.screen.prose(sentence)

    def play(self) -> bool:
        """
        All of it.

        @return: whether all jobs succeeded.
        """
        chosen = modules()[: self.asked]
        self.stage.start_broker()
        self.tell(f"A broker runs in {self.stage.folder}.")
        for name in _AGENTS:
            self.stage.start_agent(name)
        self.tell(f"The agents {', '.join(_AGENTS)} start; each does two jobs at a time.")
        with Client(self.stage.url, name="demo") as client:
            result = self._work(client, chosen)
            lost = [o.job for o in result.again if self._was_with(client, o.job, _VICTIM)]
        self._report(result, lost)
        epochs = self._restart()
        if self.screen.json:
            self._value(result, lost, epochs)
        self.stage.stop()
        return not result.failed

    # -- The work ------------------------------------------------------------

    def _work(self, client: Client, chosen: Sequence[Module]) -> Result:
        began = self.screen.clock.monotonic()
        jobs = [{"job": m.job, "payload": str(m.path).encode()} for m in chosen]
        answers = client.submit_many(
            jobs, service="modules", attempts=2, run_limit=60.0, deadline=_DEADLINE
        )
        for answer in answers:
            if not isinstance(answer, Submitted):
                raise answer
        self.tell(
            f"{len(jobs):,} jobs are submitted, one for each module of Python's standard library, "
            f"and on disk after {span(self.screen.clock.monotonic() - began)}."
        )
        outcomes: list[Outcome] = []
        with self.screen.progress("modules", len(jobs)) as bar:
            for outcome in self._outcomes(client, [module.job for module in chosen]):
                outcomes.append(outcome)
                bar(len(outcomes), len(jobs))
                if len(outcomes) == (len(jobs) + 1) // 2:
                    self._murder()
                self.stage.check()
        return Result(tuple(outcomes), self.screen.clock.monotonic() - began)

    def _outcomes(self, client: Client, names: Sequence[str]) -> Iterator[Outcome]:
        """
        The outcome of each job, about as they are done.
        """
        waiting = deque(names)
        while waiting:
            try:
                yield client.wait(waiting[0], timeout=_GLANCE)
                waiting.popleft()
            except WaitTimeout:
                self.stage.check()
                waiting.rotate(-1)

    def _murder(self) -> None:
        pid = self.stage.kill(_VICTIM)
        self.stage.start_agent(_SUCCESSOR)
        self.tell(f"Half of them are done: kill -9 {pid}.  {_VICTIM} is dead, {_SUCCESSOR} starts.")

    @staticmethod
    def _was_with(client: Client, job: str, agent: str) -> bool:
        events = client.job(job)["events"]
        return any(e.get("attempt") == 1 and e.get("agent") == agent for e in events)

    # -- The report ----------------------------------------------------------

    def _report(self, result: Result, lost: Sequence[str]) -> None:
        screen, measured = self.screen, result.measured
        if screen.json:
            return
        screen.heading("Who did it")
        columns = [Column("agent"), Column("jobs", number=True), Column("seconds", number=True)]
        rows: list[tuple[object, ...]] = [
            (agent, f"{jobs:,}", f"{seconds:.1f}")
            for agent, (jobs, seconds) in result.by_agent.items()
        ]
        total = sum(each.seconds for each in measured)
        screen.table(columns, [*rows, ("all", f"{len(result.outcomes):,}", f"{total:.1f}")])
        screen.heading("The longest functions")
        columns = [Column("lines", number=True), Column("function"), Column("module")]
        screen.table(columns, [(m.length, m.function, m.module) for m in _longest(measured)])
        screen.line()
        screen.prose(
            f"{len(measured):,} modules, {sum(m.lines for m in measured):,} lines, "
            f"{sum(m.names for m in measured):,} names, in {span(result.seconds)}."
        )
        if result.failed:
            screen.prose(f"{len(result.failed)} of {len(result.outcomes)} jobs did not succeed:")
            for outcome in result.failed[:_ROWS]:
                part = outcome.parts[0]
                screen.prose(f"  {outcome.job} {part.verdict.value}: {part.reason or ''}")
        else:
            screen.prose(f"Every job succeeded, {len(result.again)} of them on a second attempt.")
        if lost:
            shown = ", ".join(lost[:4]) + (", …" if len(lost) > 4 else "")
            screen.prose(f"{_VICTIM} had {len(lost)} of those when it died: {shown}.")
        size = sum(path.stat().st_size for path in self.stage.data.glob("store*"))
        screen.prose(f"All verdicts are stored in {self.stage.store} ({size / 2**20:.1f} MiB).")

    def _restart(self) -> tuple[int, int]:
        before = self._epoch()
        pid = self.stage.kill("broker")
        self.stage.start_broker()
        after = self._epoch()
        self.tell("")
        self.tell(f"kill -9 {pid}: that was the broker.  Started again, it is in epoch {after}.")
        if not self.screen.json:
            self.tell(f"$ jobroute jobs --limit {_ROWS}")
            self.stage.command("jobs", "--limit", str(_ROWS))
        return before, after

    def _epoch(self) -> int:
        with Client(self.stage.url) as client:
            return int(client.ping(agents=False)["epoch"])

    def _value(self, result: Result, lost: Sequence[str], epochs: tuple[int, int]) -> None:
        with Client(self.stage.url) as client:
            page = client.jobs(limit=_ROWS)
        verdicts: dict[str, int] = {}
        for outcome in result.outcomes:
            verdict = outcome.parts[0].verdict.value
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
        measured = result.measured
        self.screen.value(
            {
                "jobs": len(result.outcomes),
                "seconds": result.seconds,
                "verdicts": verdicts,
                "agents": {
                    agent: {"jobs": jobs, "seconds": seconds}
                    for agent, (jobs, seconds) in result.by_agent.items()
                },
                "lines": sum(m.lines for m in measured),
                "names": sum(m.names for m in measured),
                "longest": [attrs.asdict(m) for m in _longest(measured)],
                "second_attempts": sorted(outcome.job for outcome in result.again),
                "lost_by": {_VICTIM: sorted(lost)},
                "epochs": list(epochs),
                "after_restart": [attrs.asdict(line) for line in page.jobs],
            }
        )


def _longest(measured: Sequence[Measured]) -> list[Measured]:
    return sorted(measured, key=lambda m: (-m.length, m.module))[:_ROWS]


@contextmanager
def ended_in_order() -> Iterator[None]:
    """
    Let a signal that ends the process leave as a C{finally} would see it.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, leave) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command()
@click.option(
    "--modules",
    "asked",
    type=click.IntRange(1, 10_000),
    default=1500,
    metavar="N",
    help="So many modules at most; 1500 if not given.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Do it in this empty folder, and leave everything there.",
)
@pass_session
def demo(session: Session, /, asked: int, keep: str | None) -> None:
    """
    Watch it work, half a minute long.

    A broker and four agents, one job for each module of Python's standard library; an agent is
    killed on the way, and the broker at the end.  Everything happens in a temporary folder, of
    which nothing remains.
    """
    with ended_in_order(), Stage.build(keep) as stage:
        story = Story(session.screen, stage, asked)
        good = story.play()
        if keep is not None:
            story.tell(f"Everything is in {Path(keep).absolute()}.")
    if not good:
        click.get_current_context().exit(1)
