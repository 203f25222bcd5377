"""
C{python -m tests.bench.processes}: what a second process is worth for a map
that keeps processors busy, beside what the machine itself gives for one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from statistics import median
from time import perf_counter, process_time

from jobroute.client import Client
from tests.agent.services import spin

#: Parts of one map.
PARTS = 20

#: So many seconds of processor each.
EACH = 0.1

ROUNDS = 3


def rounds_for(seconds: float) -> int:
    """
    What C{spin} has to be told to take as long.
    """
    began, rounds = process_time(), 500_000
    spin(b"%d" % rounds)
    return int(rounds * seconds / (process_time() - began))


def bare(processes: int, rounds: int) -> float:
    """
    Parts a second of so many Python processes with nothing around them.
    """
    code = f"from tests.agent.services import spin\nfor _ in range({PARTS // 2}): spin(b'{rounds}')"
    began = perf_counter()
    children = [subprocess.Popen([sys.executable, "-c", f"{code}\n"]) for _ in range(processes)]
    for child in children:
        child.wait()
    return processes * (PARTS // 2) / (perf_counter() - began)


def mapped(url: str, rounds: int) -> float:
    """
    Parts a second of a map.
    """
    with Client(url, name="bench") as client:
        began = perf_counter()
        done = list(client.map("spin", [b"%d" % rounds] * PARTS))
        assert len(done) == PARTS
        return PARTS / (perf_counter() - began)


def agent(url: str, *options: str) -> subprocess.Popen[bytes]:
    """
    Start an agent.
    """
    line = [sys.executable, "-m", "jobroute", "--broker", url, "agent"]
    line += ["--log-level", "error", "--service", "tests.agent.services:spin", *options]
    return subprocess.Popen(line)


def main() -> None:
    """
    Measure, and print ratios.
    """
    rounds = rounds_for(EACH)
    ways = {
        "1 process": ("--processes", "1"),
        "2 processes": ("--processes", "2"),
        "2 threads": ("--slots", "2"),
    }
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="jobroute-bench-") as folder:
        url = f"ipc://{folder}/frontend.ipc"
        line = [sys.executable, "-m", "jobroute", "broker", "--data-dir", folder]
        broker = subprocess.Popen([*line, "--storage", "memory", "--log-level", "error"])
        try:
            for _ in range(ROUNDS):
                for count in (1, 2):
                    found.setdefault(f"{count} bare", []).append(bare(count, rounds))
                for name, options in ways.items():
                    running = agent(url, *options)
                    try:
                        with Client(url, name="bench") as client:
                            client.call("spin", b"1")
                        found.setdefault(name, []).append(mapped(url, rounds))
                    finally:
                        running.send_signal(signal.SIGTERM)
                        running.wait(30)
        finally:
            broker.terminate()
            broker.wait(30)
    print(f"{os.cpu_count()} processors, {EACH} s of one for each part, medians of {ROUNDS}:")
    for name, rates in found.items():
        base = "1 bare" if "bare" in name else "1 process"
        ratio = median(rates) / median(found[base])
        print(f"  {name:12} {median(rates):6.2f} parts/s  {ratio:.2f} of {base}")


if __name__ == "__main__":
    main()
