"""
L{jobroute.service}: starts that are refused, and tried again.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError
from zope.interface import implementer

from jobroute.config import Settings
from jobroute.errors import ConfigurationError, JobrouteError, StorageError
from jobroute.interfaces import IStorage
from jobroute.lock import DataDirectory
from jobroute.service import BrokerService
from jobroute.tap import Options
from tests.service.kit import ServiceCase, is_locked, settings
from tests.service.test_service import Failing, in_memory


class Unowned(DataDirectory):
    """
    A data directory whose sockets cannot be given away.
    """

    def adopt(self, path: str) -> None:
        """
        Fail as the system does.
        """
        if path.endswith(".ipc"):
            raise PermissionError(1, "Operation not permitted", path)


@implementer(IStorage)
class SlowToClose(Failing):
    """
    A storage that closes when a test wants.
    """

    def __init__(self, storage: IStorage, error: StorageError | None) -> None:
        super().__init__(storage, error)
        self.closing: Deferred[None] = Deferred()
        self.asked = False

    def close(self) -> Deferred[None]:
        """
        Not yet.
        """
        self.asked = True
        done = self._storage.close()
        return self.closing.addCallback(lambda _: done)


class RefusedTests(ServiceCase):
    """
    A start that fails gives everything back, and says one sentence.
    """

    def service(self, given: Settings, **parts: Any) -> BrokerService:
        """
        A service that is stopped at the end.
        """
        service = BrokerService(given, reactor, **parts)
        self.addCleanup(service.stopService)
        return service

    async def test_system_refuses(self) -> None:
        """
        What the operating system refuses is a sentence and no traceback; what
        was bound is given back.
        """
        folder = self.folder()
        given = settings(folder)
        service = self.service(given, directory=Unowned(folder))
        service.startService()
        self.assertFalse(service.running)
        error = await self.failing(service.whenReady(), JobrouteError)
        self.assertIn("Operation not permitted.", str(error))
        self.assertEqual(os.listdir(folder), ["broker.lock"])
        await self.broker(given)

    async def test_not_ours(self) -> None:
        """
        A file that cannot be given to the directory's owner is a sentence
        too, and the lock is let go.
        """
        folder = self.folder()

        def chown(path: str, uid: int, gid: int, *, follow_symlinks: bool) -> None:
            raise PermissionError(1, "Operation not permitted", path)

        patches = [self.patch(os, "chown", chown), self.patch(os, "geteuid", lambda: 0)]
        directory = DataDirectory(folder, owner=(os.stat(folder).st_uid, -1))
        service = self.service(settings(folder), directory=directory)
        service.startService()
        error = await self.failing(service.whenReady(), ConfigurationError)
        self.assertIn("cannot be given to the owner", str(error))
        for patch in patches:
            patch.restore()
        self.assertFalse(is_locked(folder))

    async def test_again(self) -> None:
        """
        After a start that failed the next one is as good as the first.
        """
        storage = Failing(in_memory(), StorageError("It is broken; mend it."))
        service = self.service(settings(self.folder()), storage=storage)
        service.startService()
        await self.assertFailure(service.whenReady(), StorageError)
        self.assertFalse(service.running)
        storage.mend()
        service.startService()
        await service.whenReady()
        self.assertTrue(service.running)

    async def test_privileged_again(self) -> None:
        """
        A bind that failed while there were privileges is not tried twice in
        one start, but in the next.
        """
        folder = self.folder()
        first = await self.broker(settings(folder))
        second = self.service(settings(folder))
        second.privilegedStartService()
        await first.stopService()
        second.startService()
        await self.assertFailure(second.whenReady(), JobrouteError)
        self.assertFalse(second.running)
        second.startService()
        await second.whenReady()

    async def test_told_last(self) -> None:
        """
        Nobody is told of a start that failed before all is closed.
        """
        folder = self.folder()
        storage = SlowToClose(in_memory(), StorageError("It is broken; mend it."))
        service = self.service(settings(folder), storage=storage)
        early, stopped = service.whenReady(), service.whenStopped()
        service.startService()
        late = service.whenReady()
        for waiting in (early, late, stopped):
            self.assertNoResult(waiting)
        self.assertTrue(is_locked(folder))
        storage.closing.callback(None)
        for waiting in (early, late, stopped, service.whenReady()):
            self.failureResultOf(waiting, StorageError)
        self.assertFalse(is_locked(folder))

    async def test_shared_directory(self) -> None:
        """
        A directory that others can write to is refused, unless somebody
        insists.
        """
        folder = self.folder()
        for mode in (0o770, 0o702, 0o1777):
            os.chmod(folder, mode)
            service = self.service(settings(folder))
            service.startService()
            error = await self.failing(service.whenReady(), ConfigurationError)
            self.assertIn(f"chmod go-w {folder}", str(error))
            self.assertEqual(os.listdir(folder), [])
        await (await self.broker(settings(folder, insecure=True))).stopService()
        os.chmod(folder, 0o755)
        await self.broker(settings(folder))

    def test_no_threads(self) -> None:
        """
        Zero is a value like any other, and refused by its name.
        """
        with self.assertRaises(UsageError) as caught:
            Options().parseOptions(["--io-threads", "0"])
        self.assertIn("io_threads", str(caught.exception))
