"""
C{python -m tests.bench.processes}: what a second process is worth for a map
that keeps processors busy, beside what the machine itself gives for one.

On a machine that others use as well, rates say more of them than of this; how
many processes had something to do at a time (whether or not they got a
processor for it) says what they leave of a second one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from jobroute.agent.keeper import descendants
from jobroute.client import Client
from tests.agent.services import spin

#: Parts of one map.
PARTS = 20

#: So many seconds of processor each.
EACH = 0.1


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


def busy(agent: int) -> float:
    """
    For how many seconds an agent's threads and processes ran, or waited for a
    processor.
    """
    spent = 0
    for pid in (agent, *descendants(agent)):
        for task in Path(f"/proc/{pid}/task").iterdir():
            ran, waited, _ = (task / "schedstat").read_text(encoding="ascii").split()
            spent += int(ran) + int(waited)
    return spent / 1e9


def mapped(url: str, rounds: int, agent: int) -> tuple[float, float]:
    """
    Parts a second of a map, and how many processes had something to do.
    """
    with Client(url, name="bench") as client:
        client.call("spin", b"1")
        before, began = busy(agent), perf_counter()
        done = list(client.map("spin", [b"%d" % rounds] * PARTS))
        seconds = perf_counter() - began
        assert len(done) == PARTS
        return PARTS / seconds, (busy(agent) - before) / seconds


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
    parser = argparse.ArgumentParser(prog="python -m tests.bench.processes")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    options = parser.parse_args()
    rounds = rounds_for(EACH)
    ways = {
        "1 process": ("--processes", "1"),
        "2 processes": ("--processes", "2"),
        "2 threads": ("--slots", "2"),
    }
    found: dict[str, list[float]] = {}
    working: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="jobroute-bench-") as folder:
        url = f"ipc://{folder}/frontend.ipc"
        line = [sys.executable, "-m", "jobroute", "broker", "--data-dir", folder]
        broker = subprocess.Popen([*line, "--storage", "memory", "--log-level", "error"])
        try:
            for _ in range(options.rounds):
                for count in (1, 2):
                    found.setdefault(f"{count} bare", []).append(bare(count, rounds))
                for name, asked in ways.items():
                    running = agent(url, *asked)
                    try:
                        rate, at_a_time = mapped(url, rounds, running.pid)
                        found.setdefault(name, []).append(rate)
                        working.setdefault(name, []).append(at_a_time)
                    finally:
                        running.send_signal(signal.SIGTERM)
                        running.wait(30)
        finally:
            broker.terminate()
            broker.wait(30)
    print(
        f"{os.cpu_count()} processors, {EACH} s of one for each part, medians of {options.rounds}:"
    )
    for name, rates in found.items():
        base = "1 bare" if "bare" in name else "1 process"
        ratio = median(rates) / median(found[base])
        said = f"  {name:12} {median(rates):6.2f} parts/s  {ratio:.2f} of {base}"
        if name in working:
            said += f"  {median(working[name]):.2f} at a time"
        print(said)


if __name__ == "__main__":
    main()
