"""
L{jobroute.broker.reads}: bounded, and nothing is left.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.reads import Reads
from jobroute.config import Limits
from jobroute.errors import Busy, StorageError
from jobroute.model import JobRecord
from tests.broker.kit import Kit


class ReadsTests(SynchronousTestCase):
    """
    What waits for the store.
    """

    def test_over(self) -> None:
        """
        However a read ends, it counts no longer.
        """
        reads = Reads(Limits(reads=1))

        async def good(value: int) -> int:
            return value

        def bad() -> Any:
            raise ZeroDivisionError

        self.assertEqual(self.successResultOf(reads.begin(good, 7)), 7)
        self.failureResultOf(reads.begin(bad), ZeroDivisionError)
        self.failureResultOf(reads.begin(fail, StorageError("Gone.")), StorageError)
        slow: Deferred[int] = Deferred()
        reading = reads.begin(lambda: slow)
        self.assertEqual(len(reads), 1)
        self.assertRaises(Busy, reads.begin, good, 7)
        slow.callback(1)
        self.assertEqual((self.successResultOf(reading), len(reads)), (1, 0))

    def test_commands(self) -> None:
        """
        All commands that read of one job or of many count together.
        """
        kit = Kit(Limits(reads=1))
        slow: list[Deferred[dict[str, JobRecord]]] = []

        def find(disk: Any, namespace: str, ids: Any) -> Deferred[dict[str, JobRecord]]:
            slow.append(Deferred())
            return slow[-1]

        self.patch(type(kit.disk), "find", find)
        first = kit.ask("JOB", job="j")
        self.assertFalse(first.done)
        for command in ("JOB", "WAIT", "RESULT", "CANCEL", "INPUT", "WHY"):
            self.assertEqual(kit.ask(command, job="j").code, "busy", command)
        self.assertEqual(kit.ask("JOBS").code, "busy")
        slow.pop().callback({})
        self.assertEqual(first.code, "no-such-job")
        self.assertEqual(kit.ask("JOBS").result["jobs"], [])
        self.assertEqual(slow, [])
