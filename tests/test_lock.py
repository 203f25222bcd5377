"""
Tests of L{jobroute.lock}.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import BrokerAlreadyRunning, ConfigurationError
from jobroute.lock import LOCK, DataDirectory


class LockTests(SynchronousTestCase):
    """
    One broker a data directory.
    """

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        self.directory = DataDirectory(self.path)
        self.addCleanup(self.directory.release)
        self.lock = Path(self.path, LOCK)

    def test_made(self) -> None:
        """
        The directory is made, private, with who has it; to acquire it twice
        is once.
        """
        self.directory.acquire()
        self.directory.acquire()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(self.lock.stat().st_mode), 0o600)
        self.assertEqual(self.lock.read_text(), f"{os.getpid()}\n")

    def test_second(self) -> None:
        """
        A second one is refused with the pid of the first, which notices
        nothing; when the first lets go, another may have it.
        """
        self.directory.acquire()
        self.directory.sign(4711)
        second = DataDirectory(self.path)
        error: BrokerAlreadyRunning = self.assertRaises(BrokerAlreadyRunning, second.acquire)
        self.assertEqual(error.pid, 4711)
        self.assertEqual(
            str(error), f"A broker runs with the data directory {self.path} already: process 4711."
        )
        self.assertEqual(self.lock.read_text(), "4711\n")
        second.release()
        self.directory.release()
        self.directory.release()
        self.assertEqual(self.lock.read_text(), "")
        second.acquire()
        second.release()

    def test_just_starting(self) -> None:
        """
        One that has not signed yet has no pid to tell.
        """
        self.directory.acquire()
        self.lock.write_text("what\n")
        error: BrokerAlreadyRunning = self.assertRaises(
            BrokerAlreadyRunning, DataDirectory(self.path).acquire
        )
        self.assertEqual((error.pid, "it just starts." in str(error)), (0, True))

    def test_stale(self) -> None:
        """
        A pid that was left behind means nothing, whoever has it now.
        """
        os.mkdir(self.path)
        self.lock.write_text(f"{os.getppid()}\n")
        self.directory.acquire()
        self.assertEqual(self.lock.read_text(), f"{os.getpid()}\n")

    def test_killed(self) -> None:
        """
        The lock ends with its process, however that ends.
        """
        code = (
            "import os, sys; from jobroute.lock import DataDirectory; "
            "DataDirectory(sys.argv[1]).acquire(); os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", code, self.path], check=False)
        self.assertNotEqual(self.lock.read_text(), "")
        self.directory.acquire()

    def test_no_directory(self) -> None:
        """
        A path where no directory can be made.
        """
        file = self.mktemp()
        Path(file).write_text("")
        for path in (file, os.path.join(file, "below"), "/proc/jobroute"):
            error = self.assertRaises(ConfigurationError, DataDirectory(path).acquire)
            self.assertIn(path, str(error))

    def test_link(self) -> None:
        """
        A link in the place of the lock is not followed.
        """
        os.mkdir(self.path)
        other = Path(self.mktemp())
        other.write_text("precious")
        self.lock.symlink_to(other.resolve())
        error = self.assertRaises(ConfigurationError, self.directory.acquire)
        self.assertIn("lock file", str(error))
        self.assertEqual(other.read_text(), "precious")

    def test_others(self) -> None:
        """
        A directory of another owner is refused, but not to root, who gives
        that owner what it makes there.
        """
        os.mkdir(self.path)
        here = os.stat(self.path)
        owner = here.st_uid or 1234

        def others(path: str, **more: bool) -> os.stat_result:
            found = real(path, **more)
            return os.stat_result([*found[:4], owner, *found[5:]]) if path == self.path else found

        real = os.stat
        self.patch(os, "stat", others)
        self.patch(os, "geteuid", lambda: owner + 1)
        error = self.assertRaises(ConfigurationError, self.directory.acquire)
        self.assertIn(f"belongs to user {owner}", str(error))
        given: list[tuple[str, int, int]] = []

        def chown(path: str, uid: int, gid: int, *, follow_symlinks: bool) -> None:
            self.assertFalse(follow_symlinks)
            given.append((path, uid, gid))

        self.patch(os, "chown", chown)
        self.patch(os, "geteuid", lambda: 0)
        # Root would leave files there that the owner cannot use.
        self.assertRaises(ConfigurationError, self.directory.acquire)
        self.directory.owner = (owner, here.st_gid)
        self.directory.acquire()
        self.directory.adopt("/elsewhere/file")
        self.assertEqual(given, [(str(self.lock), owner, here.st_gid)])

    def test_made_for_another(self) -> None:
        """
        A directory that root makes for the user that it becomes is that
        user's.
        """
        path = os.path.join(self.mktemp(), "made")
        given: list[tuple[str, int, int]] = []
        real = os.stat

        def chown(path: str, uid: int, gid: int, **more: bool) -> None:
            given.append((path, uid, gid))

        def stat(where: str, **more: bool) -> os.stat_result:
            found = real(where, **more)
            return os.stat_result([*found[:4], 1234, *found[5:]]) if where == path else found

        self.patch(os, "chown", chown)
        self.patch(os, "stat", stat)
        self.patch(os, "geteuid", lambda: 0)
        directory = DataDirectory(path, owner=(1234, 5678))
        directory.acquire()
        self.addCleanup(directory.release)
        self.assertEqual(given[0], (path, 1234, 5678))
