"""
C{make bench}: measure, and print ratios.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median

from attrs import asdict, frozen
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.bench import agents, resume
from tests.bench.client import Timing, batches, calls, submits
from tests.bench.subjects import Subject, subject

STORAGES = ("memory", "sqlite")


@frozen
class Figure:
    """
    @ivar cpu: microseconds of processor in the middle, a job.
    @ivar p50: half of the jobs took no longer, in microseconds.
    """

    subject: str
    what: str
    payload: int
    outstanding: int
    rate: float
    cpu: float
    p50: float
    p99: float


@frozen
class Load:
    """
    One way of giving jobs.
    """

    what: str
    run: Callable[[str, int, int, bytes], Timing]
    outstanding: int
    jobs: int


LOADS = (
    Load("CALL", calls, 1, 3000),
    Load("CALL", calls, 1000, 20000),
    Load("SUBMIT+WAIT", submits, 1, 1000),
    Load("SUBMIT+WAIT", submits, 1000, 6000),
    Load("SUBMIT_MANY", batches, 500, 10000),
)


def measure(one: Subject, load: Load, payload: int, scale: float) -> Figure:
    """
    Give one subject one load.
    """
    jobs = max(load.outstanding, int(load.jobs * scale))
    jobs -= jobs % load.outstanding
    before = one.cpu()
    timing = load.run(one.url, jobs, load.outstanding, b"x" * payload)
    used = one.cpu() - before
    return Figure(
        one.name,
        load.what,
        payload,
        load.outstanding,
        jobs / timing.seconds,
        used / jobs * 1e6,
        timing.percentile(0.5) * 1e6,
        timing.percentile(0.99) * 1e6,
    )


def middle(figures: list[Figure]) -> Figure:
    """
    The median of each figure over several rounds.
    """
    first = figures[0]
    return Figure(
        first.subject,
        first.what,
        first.payload,
        first.outstanding,
        *(median(getattr(f, name) for f in figures) for name in ("rate", "cpu", "p50", "p99")),
    )


def run(rounds: int, scale: float, payloads: list[int], console: Console) -> list[Figure]:
    """
    Measure everything, round by round, subject by subject.
    """
    found: dict[tuple[str, str, int, int], list[Figure]] = {}
    with tempfile.TemporaryDirectory(prefix="jobroute-bench-") as folder, ExitStack() as stack:
        subjects = [
            stack.enter_context(subject(kind, folder)) for kind in ("proxy", "forwarder", *STORAGES)
        ]
        with Progress(console=console, transient=True) as progress:
            steps = progress.add_task("Measuring", total=rounds * len(payloads) * len(LOADS))
            for _ in range(rounds):
                for payload in payloads:
                    for load in LOADS:
                        for one in subjects:
                            if load.what != "CALL" and one.name not in STORAGES:
                                continue
                            figure = measure(one, load, payload, scale)
                            key = (one.name, load.what, payload, load.outstanding)
                            found.setdefault(key, []).append(figure)
                        progress.advance(steps)
    return [middle(figures) for figures in found.values()]


def yardstick(figures: list[Figure], of: Figure) -> Figure:
    """
    What the forwarder did with the same payload, and as many outstanding.
    """
    outstanding = 1 if of.outstanding == 1 else 1000
    for figure in figures:
        if (figure.subject, figure.payload, figure.outstanding) == (
            "forwarder",
            of.payload,
            outstanding,
        ):
            return figure
    raise LookupError(of)


def report(figures: list[Figure], console: Console) -> None:
    """
    Print a table of ratios.
    """
    table = Table(title="Each figure, and its ratio to the forwarder's CALL")
    for name in ("in the middle", "load", "bytes", "outstanding"):
        table.add_column(name)
    for name in ("jobs/s", "CPU µs/job", "p50 µs", "p99 µs"):
        table.add_column(name, justify="right")
        table.add_column("ratio", justify="right", style="bold")
    for f in sorted(figures, key=lambda f: (f.payload, f.outstanding == 1, f.what)):
        y = yardstick(figures, f)
        cells = []
        for name in ("rate", "cpu", "p50", "p99"):
            cells += [f"{getattr(f, name):,.0f}", f"{getattr(f, name) / getattr(y, name):.2f}"]
        table.add_row(f.subject, f.what, str(f.payload), str(f.outstanding), *cells)
    console.print(table)


def main() -> None:
    """
    Parse the command line, measure, report.
    """
    others = {"resume": resume.main, "agents": agents.main}
    if sys.argv[1:2] and sys.argv[1] in others:
        others[sys.argv[1]](sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        epilog="Others: resume (how a broker comes back), agents (how its agents do).",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--scale", type=float, default=1.0, help="more jobs, or fewer")
    parser.add_argument("--payload", type=int, action="append", help="bytes of a payload")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 140)
    figures = run(options.rounds, options.scale, options.payload or [64, 10_000], console)
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures]))
    else:
        report(figures, console)


if __name__ == "__main__":
    main()
