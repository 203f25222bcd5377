"""
A broker whose reactor's turns are timed: C{python -m tests.bench.turns FILE
OPTIONS}, where the options are those of C{jobroute broker}.

When it ends, the file has two doubles for each turn: when it began on the
monotonic clock, and how long it took.
"""

from __future__ import annotations

import sys
from array import array
from pathlib import Path
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor

from jobroute.cli.broker import run
from jobroute.clock import SystemClock

CLOCK = SystemClock()


class _Poller:
    """
    Looks at the clock whenever the reactor goes to sleep and wakes up.
    """

    def __init__(self, poller: Any, turns: array[float]) -> None:
        self._poller, self._turns, self._began = poller, turns, CLOCK.monotonic()

    def poll(self, *arguments: Any) -> Any:
        """
        One turn is over; the next begins when there is something to do.
        """
        self._turns.append(self._began)
        self._turns.append(CLOCK.monotonic() - self._began)
        try:
            return self._poller.poll(*arguments)
        finally:
            self._began = CLOCK.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def read(path: str, since: float) -> list[float]:
    """
    How long each turn took that began then or later, the shortest first.
    """
    turns = array("d")
    turns.frombytes(Path(path).read_bytes())
    return sorted(
        took for began, took in zip(turns[::2], turns[1::2], strict=True) if began >= since
    )


def main() -> None:
    """
    Be the broker.
    """
    turns = array("d")
    reactor: Any = EPollReactor()
    reactor._poller = _Poller(reactor._poller, turns)
    installReactor(reactor)
    try:
        sys.exit(run(sys.argv[2:]))
    finally:
        Path(sys.argv[1]).write_bytes(turns.tobytes())


if __name__ == "__main__":
    main()
