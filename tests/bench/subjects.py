"""
What is measured: brokers and yardsticks as processes, with their agents.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

import zmq
from attrs import frozen

AGENTS = 2


@frozen
class Subject:
    """
    @ivar url: where clients connect.
    @ivar pid: the process in the middle.
    """

    name: str
    url: str
    pid: int

    def cpu(self) -> float:
        """
        The seconds of processor that all its threads have used.
        """
        used = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            used += int((task / "schedstat").read_text().split()[0])
        return used / 1e9


def _wait(url: str, ready: bytes) -> None:
    """
    Wait until whatever is at C{url} answers a job.
    """
    until = perf_counter() + 30
    while perf_counter() < until:
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(url)
            dealer.send_multipart([b"", ready, b"x"])
            if dealer.poll(500) and b"error" not in dealer.recv_multipart()[1]:
                return
        sleep(0.1)
    raise RuntimeError(f"Nothing answers at {url}.")


@contextmanager
def subject(kind: str, folder: str) -> Iterator[Subject]:
    """
    Start a subject and its agents, and end them.

    @param kind: C{forwarder}, C{proxy}, or the name of a storage.
    """
    home = os.path.join(folder, kind)
    os.makedirs(home, exist_ok=True)
    frontend, backend = f"ipc://{home}/frontend.ipc", f"ipc://{home}/backend.ipc"
    register = ""
    python = [sys.executable, "-m"]
    if kind in ("forwarder", "proxy"):
        command = [*python, "tests.bench.forwarder", kind, frontend, backend, str(AGENTS)]
    else:
        register = f"ipc://{home}/register.ipc"
        options = ["--data-dir", home, "--storage", kind, "--log-level", "error"]
        command = [*python, "twisted", "jobroute", *options]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        quiet = subprocess.DEVNULL
        processes.append(subprocess.Popen(command, stdout=quiet))
        for number in range(AGENTS):
            agent = [*python, "tests.bench.agent", backend, register, f"echo-{number}"]
            processes.append(subprocess.Popen(agent))
        _wait(frontend, b'{"command":"CALL","id":1,"service":"echo","queue_limit":0.4}')
        yield Subject(kind, frontend, processes[0].pid)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)
