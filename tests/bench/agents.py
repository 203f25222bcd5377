"""
How long it takes until many agents are back after their broker was killed:
C{python -m tests.bench agents}.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import sleep
from typing import Any

import msgspec
import zmq
from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table

from jobroute.clock import SystemClock
from tests.bench.subjects import Subject

CLOCK = SystemClock()

#: How many agents live in one process.
EACH = 200


@frozen
class Returned:
    """
    @ivar way: C{restored} if the broker found its store, C{forgotten} if it
        came back with an empty one, so that all registered anew.
    @ivar ready: seconds from the start of the process until it answered.
    @ivar half: seconds from that until half of the agents were back.
    @ivar all: and until all were.
    @ivar cpu: seconds of processor that the broker took for all that.
    @ivar lost: how many agents it lost thereby.
    @ivar refused: how many registrations it put off.
    """

    way: str
    agents: int
    ready: float
    half: float
    all: float
    cpu: float
    lost: int
    refused: int


@contextmanager
def crowd(url: str, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """
    So many agents, in several processes.
    """
    processes = []
    try:
        for first in range(0, count, EACH):
            number = min(EACH, count - first)
            command = [sys.executable, "-m", "tests.bench.crowd", url, str(first), str(number)]
            processes.append(subprocess.Popen(command))
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


@contextmanager
def broker(folder: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """
    A broker that is killed in the end.
    """
    command = [sys.executable, "-m", "jobroute", "broker", "--data-dir", folder]
    process = subprocess.Popen([*command, "--log-level", "error", *options])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Asker:
    """
    Asks a broker.
    """

    def __init__(self, url: str) -> None:
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.linger, self._dealer.reconnect_ivl = 0, 5
        self._dealer.connect(url)
        self._id = 0

    def ask(self, command: str, timeout: float = 60.0, **properties: Any) -> Any:
        """
        Give a command, and wait for its result.
        """
        self._id += 1
        head = {"command": command, "id": self._id, **properties}
        self._dealer.send_multipart([b"", msgspec.json.encode(head)])
        until = CLOCK.monotonic() + timeout
        while (left := until - CLOCK.monotonic()) > 0 and self._dealer.poll(int(left * 1000)):
            answer = msgspec.json.decode(self._dealer.recv_multipart()[1])
            if answer["id"] == self._id:
                return answer["result"]
        raise RuntimeError("The broker does not answer.")

    def ready(self) -> int:
        """
        How many agents may be given work.
        """
        states = [agent["state"] for agent in self.ask("LIST").values()]
        return states.count("ready") + states.count("busy")

    def close(self) -> None:
        """
        Ask no more.
        """
        self._dealer.close()
        self._context.term()


def measure(way: str, count: int, patience: float, console: Console) -> Returned:
    """
    Let agents register, kill the broker, start it again, and wait for them.
    """
    with ExitStack() as stack:
        top = stack.enter_context(tempfile.TemporaryDirectory(prefix="jobroute-agents-"))
        folder = os.path.join(top, "data")
        os.mkdir(folder, 0o700)
        url = f"ipc://{folder}/frontend.ipc"
        asker = Asker(url)
        stack.callback(asker.close)
        with console.status(f"{count:,} agents register"), broker(folder):
            stack.enter_context(crowd(url, count))
            until = CLOCK.monotonic() + 120
            while asker.ready() < count:
                if CLOCK.monotonic() > until:
                    raise RuntimeError(f"Only {asker.ready()} agents registered.")
                sleep(0.2)
            sleep(2)
        sleep(1)
        if way == "forgotten":
            shutil.rmtree(folder)
            os.mkdir(folder, 0o700)
        began = CLOCK.monotonic()
        with console.status("They come back"), broker(folder) as process:
            asker.ask("PING", agents=False)
            ready = half = CLOCK.monotonic()
            found = 0
            while found < count and CLOCK.monotonic() < ready + patience:
                found = asker.ready()
                if 2 * found < count:
                    half = CLOCK.monotonic()
                # The list of them all costs the broker something, too.
                sleep(0.2)
            over = CLOCK.monotonic()
            cpu = Subject("", "", process.pid).cpu()
            counters = asker.ask("STATS")["counters"]
    if found < count:
        console.print(f"Only {found} of {count} agents came back.", style="red")
    return Returned(
        way,
        count,
        ready - began,
        half - ready,
        over - ready,
        cpu,
        counters["agents_lost"],
        counters["registrations_refused"],
    )


def main(arguments: list[str]) -> None:
    """
    Parse the command line, measure, report.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.bench agents")
    parser.add_argument("--count", type=int, default=2000, help="how many agents")
    parser.add_argument("--way", action="append", choices=("restored", "forgotten"))
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 140)
    found = [
        measure(way, options.count, options.patience, console)
        for way in options.way or ("restored", "forgotten")
    ]
    if options.json:
        print(json.dumps([asdict(figure) for figure in found]))
        return
    table = Table(title="Agents that come back to a broker that was killed")
    for name in ("broker", "agents", "answers after s", "half back s", "all back s", "CPU s"):
        table.add_column(name, justify="right")
    for name in ("lost", "put off"):
        table.add_column(name, justify="right")
    for f in found:
        times = [f"{value:.2f}" for value in (f.ready, f.half, f.all, f.cpu)]
        table.add_row(f.way, f"{f.agents:,}", *times, str(f.lost), str(f.refused))
    console.print(table)
