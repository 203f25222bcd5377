"""
Writes the golden store of the latest schema, once, when there is a new one:
C{python -m tests.storage.make_golden}.
"""

from __future__ import annotations

import os
import sqlite3
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from jobroute.clock import SystemClock
from jobroute.model import (
    AgentKnown,
    AgentLeft,
    AgentRecord,
    JobAccepted,
    PartialStored,
    PartQueued,
    PartRecord,
    PartReleased,
    Stopped,
    Target,
    Verdict,
)
from jobroute.storage.schema import APPLICATION, migrations
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import (
    PAST,
    RETRY,
    Broker,
    accepted,
    attempt,
    ended,
    event,
    job_record,
    life,
)
from tests.storage.test_schema import GOLDEN


def main() -> None:
    """
    Write it.
    """
    with TemporaryDirectory() as directory:
        path = os.path.join(directory, "store")
        pump = Pump()
        broker = Broker(SQLiteStorage(path, pump, SystemClock()), pump)
        broker.open()
        parts = (PartRecord(10, 9, 0, ("a1",)), PartRecord(11, 9, 1, ("a2",)))
        both = job_record(9, target=Target(("a1", "a2"), None))
        broker.store(
            AgentKnown(AgentRecord("a1", 100, "ab" * 16, b"{}"), 1.0),
            AgentKnown(AgentRecord("a2", 101, "cd" * 16, b"{}"), 1.0),
            AgentLeft("a2"),
            *life(1, payload=(b"p", b"\x00\xff")),
            accepted(5, id="mine"),
            attempt(6),
            PartialStored(6, 1, 1, (b"one",)),
            PartialStored(6, 1, 2, (b"two",)),
            JobAccepted(replace(both, retry=RETRY, max_lost=7, origin=5), parts, ()),
            PartQueued(10, 1005.5, PAST),
            ended(11, Verdict.FAILED, frames=()),
            *life(21, Verdict.QUARANTINED),
            *life(23, Verdict.QUARANTINED),
            PartReleased(24),
            Stopped("agent", "a2", True),
            Stopped("service", "s", True),
            *(event(n, 1 if n < 3 else 5) for n in range(1, 5)),
        )
        broker.close()
        connection = sqlite3.connect(path)
        version = len(migrations())
        with open(os.path.join(GOLDEN, f"{version:04}.sql"), "x", encoding="utf-8") as file:
            file.write(f"PRAGMA application_id = {APPLICATION};\n")
            file.write(f"PRAGMA user_version = {version};\n")
            file.writelines(f"{line}\n" for line in connection.iterdump())
        connection.close()


if __name__ == "__main__":
    main()
