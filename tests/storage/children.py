"""
Processes that tests start, and what they do there: C{python -m
tests.storage.children NAME PATH}.
"""

from __future__ import annotations

import errno
import json
import resource
import sys
from typing import Any

from jobroute.clock import SystemClock
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.kernel import fail_from_now_on
from tests.storage.pump import Pump
from tests.storage.samples import Broker, accepted, life


def say(**facts: Any) -> None:
    """
    Tell the test something.
    """
    print(json.dumps(facts), flush=True)


def quota(path: str) -> None:
    """
    Write up to a quota and past it; then the quota is raised.
    """
    pump = Pump()
    storage = SQLiteStorage(path, pump, SystemClock(), pause=0.01)
    broker = Broker(storage, pump)
    broker.open()
    broker.store(accepted(1, payload=(b"x" * 1000,)))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    broker.write(accepted(3, payload=(b"y" * 1_000_000,)))
    broker.write(*life(5))
    pump.until(lambda: broker.troubles)
    say(
        trouble=str(broker.troubles[0]),
        positions=broker.positions[:],
        read=len(pump.wait(storage.payload(1))[0]),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    broker.settle()
    say(
        troubles=[error and str(error) for error in broker.troubles],
        read=len(pump.wait(storage.payload(3))[0]),
    )
    broker.close()


def failing(path: str, *calls: str) -> None:
    """
    Write; then system calls fail, and more is written.
    """
    pump = Pump()
    storage = SQLiteStorage(path, pump, SystemClock(), pause=0.01)
    broker = Broker(storage, pump)
    broker.open()
    broker.store(*life(1), accepted(3))
    if not fail_from_now_on(errno.EIO, *calls):
        say(able=False)
        return
    broker.write(accepted(5))
    pump.until(lambda: broker.troubles)
    broker.write(accepted(7))
    closed: list[str] = []
    read = len(pump.wait(storage.payload(3)))
    storage.close().addErrback(lambda failure: closed.append(str(failure.value)))
    pump.until(lambda: closed)
    say(
        able=True,
        positions=broker.positions,
        troubles=[[type(error).__name__, str(error)] for error in broker.troubles],
        read=read,
        closed=closed[0],
    )


def fsync(path: str) -> None:
    """
    The disk does not say whether it has what it was given.
    """
    failing(path, "fsync", "fdatasync")


def write(path: str) -> None:
    """
    The disk takes nothing.
    """
    failing(path, "pwrite64")


def endless(path: str) -> None:
    """
    Write for ever, and tell what was committed.
    """
    pump = Pump()
    broker = Broker(SQLiteStorage(path, pump, SystemClock()), pump)
    broker.open()
    number = told = 0
    while True:
        for _ in range(20):
            number += 1
            broker.write(*life(2 * number - 1)) if number % 2 else broker.write(
                accepted(2 * number - 1)
            )
        pump.until(lambda: broker.positions and broker.positions[-1] > broker.position - 200)
        # Odd ones have four changes, even ones have one.
        done = broker.positions[-1] * 2 // 5
        if done > told:
            told = done
            say(committed=told)


if __name__ == "__main__":
    {"quota": quota, "fsync": fsync, "write": write, "endless": endless}[sys.argv[1]](sys.argv[2])
