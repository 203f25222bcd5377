# -*- test-case-name: tests.simulation.test_simulate -*-
"""
C{python -m jobroute.testing.simulate}: many runs, and every promise that one
of them broke.
"""

from __future__ import annotations

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
from jobroute.testing.evidence import Evidence
from jobroute.testing.simulation import Report, simulate

#: Fewer runs are not worth a second process.
MANY = 40

#: So many entries of the history are shown of a broken promise.
SHOWN = 120

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
    return Summary(seed, explain(report), report.messages, report.seconds)


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


def simulate_all(seeds: range, console: Console) -> int:
    """
    Run all seeds, and print what they broke.

    @return: how many broke something.
    """
    began = perf_counter()
    broken = messages = 0
    virtual = 0.0
    with _progress(console, len(seeds)) as progress:
        for summary in runs(seeds):
            messages += summary.messages
            virtual += summary.seconds
            if summary.text:
                broken += 1
                print(f"{summary.text}\n", flush=True)
            progress.advance(progress.task_ids[0])
    took = perf_counter() - began
    kept = "every promise was kept" if not broken else f"{broken} of them broke a promise"
    print(
        f"{len(seeds)} runs, {virtual:,.0f} seconds of theirs and {messages:,} messages in "
        f"{took:.1f} seconds ({messages / took:,.0f} a second): {kept}."
    )
    return broken


@click.command()
@click.option("--seeds", default=200, show_default=True, help="How many runs.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Only this one.")
@click.option("--trace", is_flag=True, help="Show everything that happened in it.")
def main(seeds: int, first: int, seed: int | None, trace: bool) -> None:
    """
    Run brokers, agents and clients that crash at every moment, and see
    whether what jobroute promises is kept.
    """
    quiet()
    if seed is None:
        if trace:
            raise click.UsageError("--trace needs --seed.")
        sys.exit(1 if simulate_all(range(first, first + seeds), Console(stderr=True)) else 0)
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
