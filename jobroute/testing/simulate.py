# -*- test-case-name: tests.simulation.test_simulate -*-
"""
C{python -m jobroute.testing.simulate}: many runs, and every promise that one
of them broke.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from os import cpu_count
from time import perf_counter

import click
from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from twisted.logger import globalLogBeginner

from jobroute.testing.checker import Breach
from jobroute.testing.coverage import Coverage
from jobroute.testing.evidence import Evidence
from jobroute.testing.faults import FAULTS
from jobroute.testing.simulation import Report, simulate

#: Fewer runs are not worth a second process.
MANY = 40

#: So many entries of the history are shown of a broken promise.
SHOWN = 120

#: How wide the table is.
WIDTH = 160

#: The faults, in order.
NAMES = tuple(fault.__name__ for fault in FAULTS)

#: So many breaches of one promise are told of one run; the first is shown.
BREACHES = 3


@frozen
class Summary:
    """
    What is left of a run.

    @ivar text: every breach with its history, empty if there was none.
    """

    seed: int
    text: str
    messages: int
    seconds: float
    coverage: dict[tuple[str, str], int]


@frozen
class Result:
    """
    What is left of all runs.

    @ivar broken: the seeds of those that broke a promise.
    @ivar took: seconds of real time.
    """

    runs: int
    broken: list[int]
    messages: int
    seconds: float
    took: float
    coverage: Coverage

    @property
    def missing(self) -> list[tuple[str, str, int]]:
        """
        What faults should have met and did not, if there were enough runs.
        """
        return self.coverage.missing(NAMES, self.runs)

    def said(self) -> str:
        """
        All of it, in a line.
        """
        count = len(self.broken)
        kept = "every promise was kept" if not count else f"{count} of them broke a promise"
        return (
            f"{self.runs} runs, {self.seconds:,.0f} seconds of theirs and {self.messages:,} "
            f"messages in {self.took:.1f} seconds ({self.messages / self.took:,.0f} a second): "
            f"{kept}."
        )

    def json(self) -> str:
        """
        The same for programs.
        """
        return json.dumps(
            {
                "runs": self.runs,
                "broken": self.broken,
                "messages": self.messages,
                "seconds": round(self.seconds, 3),
                "took": round(self.took, 3),
                "coverage": self.coverage.nested(NAMES),
                "missing": [{"fault": f, "state": s, "least": n} for f, s, n in self.missing],
            }
        )


def replay(seed: int) -> str:
    """
    The line that makes the same happen again.
    """
    return f"python -m jobroute.testing.simulate --seed {seed}"


def explain(report: Report) -> str:
    """
    Every promise that a run broke; empty if it kept them all.
    """
    if not report.breaches:
        return ""
    by_promise: dict[str, list[Breach]] = {}
    for breach in sorted(report.breaches, key=lambda breach: breach.number):
        by_promise.setdefault(breach.promise, []).append(breach)
    lines: list[str] = []
    for promise, breaches in by_promise.items():
        lines += [f"Seed {report.seed} broke promise {breaches[0].number}: {promise}."]
        lines += [breach.broken.text for breach in breaches[:BREACHES]]
        if len(breaches) > BREACHES:
            lines.append(f"… and {len(breaches) - BREACHES} times more.")
        lines += [*_shown(breaches[0], report.evidence), ""]
    lines.append(f"Again: {replay(report.seed)} (--trace shows everything)")
    return "\n".join(lines)


def _shown(breach: Breach, evidence: Evidence) -> list[str]:
    entries = breach.relevant(evidence)
    left_out = len(entries) - SHOWN
    shown = [str(entry) for entry in entries[-SHOWN:]]
    return [f"… {left_out} entries before …", *shown] if left_out > 0 else shown


def run(seed: int) -> Summary:
    """
    One run, in any process.
    """
    report = simulate(seed)
    return Summary(seed, explain(report), report.messages, report.seconds, report.coverage)


def quiet() -> None:
    """
    Nothing is logged: what matters is in the reports.
    """
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


def runs(seeds: range) -> Iterator[Summary]:
    """
    Many runs, in order, with all processors if there are many.
    """
    processes = cpu_count() or 1
    if len(seeds) < MANY or processes == 1:
        yield from map(run, seeds)
        return
    # Spawned, since what was imported here may have begun something.
    with get_context("spawn").Pool(processes, initializer=quiet) as pool:
        yield from pool.imap(run, seeds, chunksize=4)


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        progress.add_task("Simulating", total=total)
        yield progress


def simulate_all(seeds: range, console: Console) -> Result:
    """
    Run all seeds, and print what they broke.
    """
    began = perf_counter()
    broken: list[int] = []
    messages = 0
    virtual = 0.0
    coverage = Coverage()
    with _progress(console, len(seeds)) as progress:
        for summary in runs(seeds):
            messages += summary.messages
            virtual += summary.seconds
            coverage.add(summary.coverage)
            if summary.text:
                broken.append(summary.seed)
                console.print(f"{summary.text}\n", markup=False, highlight=False, soft_wrap=True)
            progress.advance(progress.task_ids[0])
    return Result(len(seeds), broken, messages, virtual, perf_counter() - began, coverage)


def _many(seeds: range, as_json: bool) -> int:
    """
    Run all seeds, and print what came of it.

    @return: the exit status.
    """
    result = simulate_all(seeds, Console(stderr=True))
    if as_json:
        print(result.json())
    else:
        Console(width=WIDTH).print(result.coverage.table(NAMES))
        for fault, state, least in result.missing:
            met = result.coverage.counts.get((fault, state), 0)
            print(f"{fault} met a part that is {state} {met} times; {least} are expected.")
        print(result.said())
    return 1 if result.broken or result.missing else 0


@click.command()
@click.option("--seeds", default=200, show_default=True, help="How many runs.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Only this one.")
@click.option("--trace", is_flag=True, help="Show everything that happened in it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(seeds: int, first: int, seed: int | None, trace: bool, as_json: bool) -> None:
    """
    Run brokers, agents and clients that crash at every moment, and see
    whether what jobroute promises is kept, and whether everything happened
    that should.
    """
    quiet()
    if seed is None:
        if trace:
            raise click.UsageError("--trace needs --seed.")
        sys.exit(_many(range(first, first + seeds), as_json))
    report = simulate(seed)
    if trace:
        for entry in report.evidence.history:
            print(entry)
    text = explain(report)
    print(text or f"Seed {seed} kept every promise: {report.messages} messages.")
    print(f"Digest: {report.digest}")
    sys.exit(1 if text else 0)


if __name__ == "__main__":
    main()
