"""
L{jobroute.life}: everything is given back, once, whatever fails and however
many want it.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import JobrouteError, StorageError, StorageLost
from jobroute.life import Life
from jobroute.service import BrokerService
from jobroute.storage.schema import connect_writer
from jobroute.storage.sqlite import SQLiteStorage
from tests.service.kit import ServiceCase, is_locked, settings, until
from tests.service.test_service import in_memory
from tests.service.test_starts import SlowToClose


class FailingDisk:
    """
    A connection whose commits fail when a test wants.
    """

    fails = ""

    def __init__(self, path: str) -> None:
        self._real = connect_writer(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, sql: str, *arguments: Any) -> Any:
        """
        Execute, or fail.
        """
        if sql == "COMMIT" and self.fails:
            error = sqlite3.OperationalError(self.fails)
            error.sqlite_errorname = self.fails
            raise error
        return self._real.execute(sql, *arguments)


class Ending(BrokerService):
    """
    Remembers why it ended.
    """

    def __init__(self, *arguments: Any, **parts: Any) -> None:
        super().__init__(*arguments, **parts)
        self.reasons: list[Failure] = []

    def ended(self, failure: Failure) -> None:
        """
        Remember.
        """
        self.reasons.append(failure)


class CloseTests(SynchronousTestCase):
    """
    L{Life.close}.
    """

    def test_every_step(self) -> None:
        """
        The last thing is undone first, and each whatever the others raise.
        """
        done: list[str] = []

        def step(name: str, error: Exception | None = None) -> None:
            done.append(name)
            if error is not None:
                raise error

        life = Life()
        life.undo = [
            ("A", lambda: step("a")),
            ("B", lambda: step("b", StorageError("It is full."))),
            ("C", lambda: step("c", RuntimeError("bug"))),
        ]
        self.successResultOf(Deferred.fromCoroutine(life.close()))
        self.assertEqual(done, ["c", "b", "a"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class DiskTests(ServiceCase):
    """
    The real store on a disk that fails.
    """

    async def on_a_disk(self) -> tuple[str, Ending, FailingDisk]:
        """
        A running broker, and its disk.
        """
        folder = self.folder()
        disks: list[FailingDisk] = []

        def connect(path: str) -> Any:
            disks.append(FailingDisk(path))
            return disks[-1]

        path = os.path.join(folder, "store.sqlite")
        storage = SQLiteStorage(path, reactor, SystemClock(), connect=connect)  # type: ignore[arg-type]
        service = Ending(settings(folder), reactor, storage=storage)
        self.addCleanup(service.stopService)
        service.startService()
        await service.whenReady()
        return folder, service, disks[0]

    async def test_failed_fsync(self) -> None:
        """
        The broker ends, though the store does not close well.
        """
        folder, service, disk = await self.on_a_disk()
        stopped = service.whenStopped()
        disk.fails = "SQLITE_IOERR_FSYNC"
        service.broker.events.record("x")
        service.broker.journal.flush()
        await self.assertFailure(stopped, StorageLost)
        await until(lambda: service.reasons)
        self.assertEqual([r.type for r in service.reasons], [StorageLost])
        self.assertEqual((service.running, is_locked(folder)), (0, False))

    async def test_full(self) -> None:
        """
        A stop with a full disk is a stop.
        """
        folder, service, disk = await self.on_a_disk()
        stopped = service.whenStopped()
        disk.fails = "SQLITE_FULL"
        service.broker.events.record("x")
        service.broker.journal.flush()
        await until(lambda: service.broker.admission.trouble)
        service.stopNow()
        await service.stopService()
        self.successResultOf(stopped)
        self.assertEqual((service.reasons, is_locked(folder)), ([], False))

    async def test_stopped_while_starting(self) -> None:
        """
        A stop ends a start, of which nothing goes on.
        """
        folder = self.folder()
        service = Ending(settings(folder, storage="sqlite"), reactor)
        service.privilegedStartService()
        service.startService()
        ready = service.whenReady()
        stopping = service.stopService()
        error = await self.failing(ready, JobrouteError)
        await stopping
        self.assertIn("stopped before", str(error))
        self.assertEqual((service.endpoints, service.reasons), ({}, []))
        self.assertFalse(is_locked(folder))
        self.assertEqual(os.listdir(folder).count("frontend.ipc"), 0)
        service.startService()
        self.addCleanup(service.stopService)
        await service.whenReady()


class StopTests(ServiceCase):
    """
    Many stops of one life, and starts between them.
    """

    timeout = 8

    async def slow(self) -> tuple[str, Ending, SlowToClose]:
        """
        A running broker whose store takes long to close.
        """
        folder, storage = self.folder(), SlowToClose(in_memory(), None)
        service = Ending(settings(folder), reactor, storage=storage)
        self.addCleanup(service.stopService)
        service.startService()
        await service.whenReady()
        return folder, service, storage

    async def test_twice(self) -> None:
        """
        All stops are over when the store is closed, and no sooner; only then
        is the lock let go.
        """
        folder, service, storage = await self.slow()
        stops = [service.stopService(), service.stopService(), service.whenStopped()]
        await until(lambda: storage.asked)
        for stop in stops:
            self.assertNoResult(stop)
        self.assertTrue(is_locked(folder))
        storage.closing.callback(None)
        for stop in stops:
            await stop
        self.assertFalse(is_locked(folder))

    async def test_started_meanwhile(self) -> None:
        """
        A start during a stop begins when that is over, with the lock.
        """
        folder, service, storage = await self.slow()
        service.stopService()
        stopped = service.stopService()
        service.startService()
        ready = service.whenReady()
        await until(lambda: storage.asked)
        self.assertNoResult(ready)
        closing, storage.closing = storage.closing, succeed(None)
        closing.callback(None)
        await stopped
        await ready
        self.assertEqual((service.running, is_locked(folder)), (1, True))

    async def test_start_taken_back(self) -> None:
        """
        A start during a stop, and a stop after it: nothing starts.
        """
        folder, service, storage = await self.slow()
        service.stopService()
        service.startService()
        ready = service.whenReady()
        stopped = service.stopService()
        storage.closing.callback(None)
        await stopped
        self.failureResultOf(ready, JobrouteError)
        self.assertEqual((service.running, is_locked(folder)), (0, False))

    async def test_lost_while_stopping(self) -> None:
        """
        A store that is lost during a drain ends it, with one stop.
        """
        folder, service, storage = await self.slow()
        call = self.client(service.endpoints["frontend"], timeout=5).call("nobody", b"")
        call.addErrback(lambda _: None)
        await until(lambda: service.broker.verdicts.open_calls)
        stopped, stopping = service.whenStopped(), service.stopService()
        storage.trouble(StorageLost("fsync failed."))
        storage.trouble(StorageLost("fsync failed."))
        await until(lambda: service.broker.journal.ended)
        self.assertNoResult(stopping)
        storage.closing.callback(None)
        await stopping
        await self.assertFailure(stopped, StorageLost)
        self.assertEqual((len(service.reasons), is_locked(folder)), (1, False))
