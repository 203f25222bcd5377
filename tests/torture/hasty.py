"""
A broker for a torture that answers before what it says is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jobroute.broker.journal import Journal
from jobroute.model import Change
from jobroute.storage.sqlite import SQLiteStorage
from jobroute.testing.torture.broker import run
from jobroute.testing.torture.orders import begin

#: Seconds by which the disk is behind.
BEHIND = 0.7


def park(self: Journal, effect: Callable[..., object], *arguments: Any) -> None:
    """
    Do at once what has to wait for the disk.
    """
    effect(*arguments)


def main() -> None:
    """
    Be that broker.
    """
    child = begin()
    write = SQLiteStorage.write

    def later(self: SQLiteStorage, position: int, changes: Sequence[Change]) -> None:
        child.reactor.callLater(BEHIND, write, self, position, changes)

    Journal.park = park  # type: ignore[method-assign]
    SQLiteStorage.write = later  # type: ignore[method-assign]
    run(child)


if __name__ == "__main__":
    main()
