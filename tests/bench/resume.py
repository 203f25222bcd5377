"""
How long a broker takes to be back with much in its store, how much memory
that takes, and how it works on: C{python -m tests.bench resume}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Semaphore, Thread
from time import sleep
from typing import Any

import msgspec
import zmq
from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table

from jobroute.clock import SystemClock
from jobroute.model import Event, JobAccepted, JobRecord, NumbersTaken, PartRecord, Target
from jobroute.storage.schema import FILE
from jobroute.storage.writer import Writer
from tests.bench.subjects import Subject
from tests.bench.turns import read

CLOCK = SystemClock()

#: How many jobs are written at a time.
_SLICE = 2000

#: For how many clients they are.
_CLIENTS = 20


@frozen
class Resumed:
    """
    @ivar width: how many parts a job has.
    @ivar seconds: from the start of the process until it answers C{PING},
        less what that takes with an empty store.
    @ivar cpu: how many seconds of processor that took, likewise.
    @ivar bytes: of resident memory for a part, once it answers.
    @ivar peak: the same at the most until then.
    @ivar delivered: how many parts agents took and answered in the seconds
        after that.
    @ivar turns: 99.9 % of the reactor's turns after the start took no longer,
        in milliseconds.
    @ivar longest: the longest of them took so many milliseconds.
    """

    parts: int
    width: int
    seconds: float
    cpu: float
    bytes: float
    peak: float
    delivered: int
    turns: float
    longest: float


def fill(folder: str, parts: int, width: int, payload: bytes) -> None:
    """
    Make a store with so many queued parts.
    """
    errors: list[Any] = []
    room = Semaphore(8)
    writer = Writer(os.path.join(folder, FILE), CLOCK, lambda _: room.release(), errors.append)
    writer.open()
    thread = Thread(target=writer.work)
    thread.start()
    position = 0
    for changes in _changes(parts, width, payload):
        position += len(changes)
        room.acquire()
        writer.write(position, changes)
    writer.stop()
    thread.join()
    writer.close()
    if errors:
        raise errors[0]


def _changes(parts: int, width: int, payload: bytes) -> Iterator[list[Any]]:
    now = CLOCK.wall()
    number, event = 1_000_000, 0
    jobs = max(1, parts // width)
    for first in range(0, jobs, _SLICE):
        changes: list[Any] = [NumbersTaken(number + _SLICE * (width + 1))]
        for _ in range(first, min(jobs, first + _SLICE)):
            job = JobRecord(
                number=number,
                namespace="default",
                id=f"nightly-{number}",
                client=f"client-{number % _CLIENTS}",
                service="echo",
                target=Target() if width == 1 else Target(None, width),
                header=b'{"path":"/srv/data/in","level":3}',
                digest=number.to_bytes(16, "big"),
                priority=0,
                attempts=1,
                queue_limit=None,
                run_limit=60.0,
                deadline=now + 86400 + number % 3600,
                submitted=now,
            )
            made = tuple(PartRecord(number + 1 + i, number, i, None) for i in range(width))
            changes.append(JobAccepted(job, made, (payload,)))
            event += 1
            changes.append(Event(event, now, "job.accepted", job=number))
            number += width + 1
        yield changes


@frozen
class Running:
    """
    A broker that answers.

    @ivar seconds: how long that took.
    @ivar ready: when it was so, on the monotonic clock.
    @ivar cpu: how many seconds of processor it took.
    """

    process: subprocess.Popen[bytes]
    seconds: float
    ready: float
    cpu: float

    def memory(self, name: str) -> int:
        """
        Bytes of memory, by a name in the kernel's account.
        """
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise LookupError(name)


@contextmanager
def broker(folder: str, turns: str) -> Iterator[Running]:
    """
    Start a broker, wait until it answers, and kill it, but not before its
    turns are written.
    """
    command = [sys.executable, "-m", "tests.bench.turns", turns]
    options = ["--data-dir", folder, "--log-level", "warn"]
    began = CLOCK.monotonic()
    process = subprocess.Popen([*command, *options])
    try:
        url = f"ipc://{folder}/frontend.ipc"
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger, dealer.reconnect_ivl = 0, 5
            dealer.connect(url)
            dealer.send_multipart([b"", b'{"command":"PING","id":1,"agents":false}'])
            if not dealer.poll(120_000):
                raise RuntimeError("The broker does not answer.")
            ready = CLOCK.monotonic()
        used = Subject("", "", process.pid).cpu()
        yield Running(process, ready - began, ready, used)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _stats(folder: str) -> dict[str, Any]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(f"ipc://{folder}/frontend.ipc")
        dealer.send_multipart([b"", b'{"command":"STATS","id":1}'])
        if not dealer.poll(60_000):
            raise RuntimeError("The broker does not answer.")
        result: dict[str, Any] = msgspec.json.decode(dealer.recv_multipart()[1])["result"]
        return result


@contextmanager
def agents(folder: str, number: int) -> Iterator[None]:
    """
    Agents that give back what they get.
    """
    urls = [f"ipc://{folder}/{name}.ipc" for name in ("backend", "register")]
    command = [sys.executable, "-m", "tests.bench.agent", *urls]
    processes = [subprocess.Popen([*command, f"echo-{n}"]) for n in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(parts: int, width: int, payload: int, work: float, console: Console) -> Resumed:
    """
    Fill a store, start a broker on it, and let agents take from it.

    @param work: for how many seconds agents take parts.
    """
    with tempfile.TemporaryDirectory(prefix="jobroute-resume-") as top:
        empty, full, turns = (os.path.join(top, name) for name in ("empty", "full", "turns"))
        for folder in (empty, full):
            os.mkdir(folder, 0o700)
        with console.status(f"Filling a store with {parts:,} parts"):
            fill(full, parts, width, b"x" * payload)
        with broker(empty, turns):
            pass
        with broker(empty, turns) as nothing:
            least, base = nothing.seconds, nothing.memory("VmRSS")
            base_peak = nothing.memory("VmHWM")
        with console.status("Starting a broker on it"), broker(full, turns) as running:
            taken = running.memory("VmRSS") - base
            peak = running.memory("VmHWM") - base_peak
            before = _stats(full)["counters"]["verdicts_succeeded"]
            if work:
                with agents(full, 2):
                    sleep(work)
                    delivered = _stats(full)["counters"]["verdicts_succeeded"] - before
            else:
                delivered = 0
        found = read(turns, running.ready)
        shutil.rmtree(full)
    return Resumed(
        parts,
        width,
        running.seconds - least,
        running.cpu - nothing.cpu,
        taken / parts,
        peak / parts,
        delivered,
        found[int(0.999 * (len(found) - 1))] * 1e3,
        found[-1] * 1e3,
    )


def main(arguments: list[str]) -> None:
    """
    Parse the command line, measure, report.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.bench resume")
    parser.add_argument("--parts", type=int, action="append", help="so many in the store")
    parser.add_argument("--width", type=int, action="append", help="parts of a job")
    parser.add_argument("--payload", type=int, default=100, help="bytes of a payload")
    parser.add_argument("--work", type=float, default=10.0, help="seconds in which agents work")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 140)
    found = [
        measure(parts, width, options.payload, options.work, console)
        for parts in options.parts or [100_000, 1_000_000]
        for width in options.width or [1, 100]
    ]
    if options.json:
        print(json.dumps([asdict(figure) for figure in found]))
        return
    table = Table(title="A broker that comes back")
    for name in ("parts", "a job", "back after s", "CPU s", "bytes a part", "at most", "then done"):
        table.add_column(name, justify="right")
    for name in ("99.9 % of turns ms", "longest ms"):
        table.add_column(name, justify="right")
    for f in found:
        cells = (f.seconds, f.cpu, f.bytes, f.peak, f.delivered, f.turns, f.longest)
        formats = ("{:.2f}", "{:.2f}", "{:,.0f}", "{:,.0f}", "{:,}", "{:.1f}", "{:.1f}")
        texts = (form.format(cell) for form, cell in zip(formats, cells, strict=True))
        table.add_row(f"{f.parts:,}", str(f.width), *texts)
    console.print(table)
