"""
Tests for L{jobroute.cli.checkup}.
"""

from __future__ import annotations

import builtins
import io
import os
import resource
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli import checkup
from jobroute.cli.checkup import Finding, State
from jobroute.clock import SystemClock
from jobroute.zeromq import about
from tests.cli.support import StillClock


class CheckTestCase(SynchronousTestCase):
    """
    One check.
    """

    def setUp(self) -> None:
        """
        Make a private folder.
        """
        self.folder = tempfile.mkdtemp(prefix="jr-")
        self.addCleanup(shutil.rmtree, self.folder)

    def found(self, findings: Iterator[Finding]) -> dict[str, Finding]:
        """
        The findings by what was looked at; whatever is wrong has an advice.
        """
        found = {finding.check: finding for finding in findings}
        for finding in found.values():
            self.assertEqual(bool(finding.advice), finding.state is not State.OK, finding)
        return found

    def states(self, findings: Iterator[Finding]) -> list[State]:
        """
        How bad each is.
        """
        return [finding.state for finding in self.found(findings).values()]


class VersionsTests(CheckTestCase):
    """
    Tests for L{checkup.versions}.
    """

    def test_here(self) -> None:
        """
        Here all is well, or these tests would not run.
        """
        self.assertEqual(set(self.states(checkup.versions())), {State.OK})

    def test_missing(self) -> None:
        """
        A package that is not there, a ZeroMQ without ipc, and an old SQLite
        are problems.
        """

        def version(package: str) -> str:
            if package == "txZMQ":
                raise metadata.PackageNotFoundError
            return "1"

        self.patch(checkup, "version", version)
        self.patch(about, "has", lambda capability: False)
        self.patch(sqlite3, "sqlite_version_info", (3, 7, 17))
        found = self.found(checkup.versions())
        bad = [name for name, finding in found.items() if finding.state is State.PROBLEM]
        self.assertEqual(bad, ["txZMQ", "libzmq", "SQLite"])
        self.assertEqual(found["txZMQ"].advice, "pip install txZMQ")


class DirectoryTests(CheckTestCase):
    """
    Tests for L{checkup.directory}.
    """

    def test_private(self) -> None:
        """
        A private one is well, and so is one that is not there yet.
        """
        self.assertEqual(self.states(checkup.directory(self.folder)), [State.OK])
        later = os.path.join(self.folder, "a", "b")
        self.assertEqual(self.states(checkup.directory(later)), [State.OK])
        self.assertEqual(os.listdir(self.folder), [])

    def test_others(self) -> None:
        """
        One that others can read is worth a word, one that they can write to
        is a problem.
        """
        os.chmod(self.folder, 0o755)
        self.assertEqual(self.states(checkup.directory(self.folder)), [State.WARNING])
        os.chmod(self.folder, 0o777)
        self.assertEqual(self.states(checkup.directory(self.folder)), [State.PROBLEM])

    def test_file(self) -> None:
        """
        A file is in the way.
        """
        path = os.path.join(self.folder, "file")
        with open(path, "w", encoding="ascii"):
            self.assertEqual(self.states(checkup.directory(path)), [State.PROBLEM])

    def test_forbidden(self) -> None:
        """
        One that we cannot write to is a problem.
        """
        # Root may write everywhere.
        self.patch(os, "access", lambda path, mode: False)
        self.assertEqual(self.states(checkup.directory(self.folder)), [State.PROBLEM])
        inside = os.path.join(self.folder, "inside")
        self.assertEqual(self.states(checkup.directory(inside)), [State.PROBLEM])


class SocketsTests(CheckTestCase):
    """
    Tests for L{checkup.sockets}.
    """

    def test_here(self) -> None:
        """
        Both kinds can be bound, also where the folder is not there yet, and
        nothing stays.
        """
        later = os.path.join(self.folder, "later")
        self.assertEqual(self.states(checkup.sockets(later)), [State.OK, State.OK])
        self.assertEqual(os.listdir(self.folder), [])

    def test_long(self) -> None:
        """
        A path that is too long is a problem: of the socket with the longest
        name.
        """
        for length, state in ((107, State.OK), (108, State.PROBLEM)):
            path = os.path.join(self.folder, "")
            path += "x" * (length - len(path) - len("/heartbeat.ipc"))
            self.assertEqual(self.found(checkup.sockets(path))["ipc sockets"].state, state)

    def test_refused(self) -> None:
        """
        A system that lets nobody bind says why.
        """

        class Refusing(socket.socket):
            def bind(self, address: Any) -> None:
                raise PermissionError(1, "Operation not permitted")

        self.patch(socket, "socket", Refusing)
        found = self.found(checkup.sockets(self.folder))
        self.assertEqual({f.state for f in found.values()}, {State.PROBLEM})
        self.assertIn("Operation not permitted", found["tcp sockets"].found)


class DiskTests(CheckTestCase):
    """
    Tests for L{checkup.disk}.
    """

    def test_here(self) -> None:
        """
        A write takes some time, and leaves nothing behind.
        """
        found = self.found(checkup.disk(self.folder, SystemClock()))
        self.assertRegex(found["fsync"].found, r"^\d+\.\d\d ms$")
        self.assertRegex(found["space"].found, r"GiB free$")
        self.assertEqual(os.listdir(self.folder), [])

    def test_speed(self) -> None:
        """
        A disk can be too slow, and it can be too fast to be one.
        """
        clock = StillClock()
        self.assertEqual(self.found(checkup.disk(self.folder, clock))["fsync"].state, State.WARNING)
        for took, state in ((0.001, State.OK), (0.03, State.WARNING)):
            moments = iter([n * took for n in range(100)])
            self.patch(clock, "monotonic", lambda moments=moments: next(moments))
            self.assertEqual(self.found(checkup.disk(self.folder, clock))["fsync"].state, state)

    def test_fails(self) -> None:
        """
        A disk that fails is a problem.
        """

        def fsync(file: int) -> None:
            raise OSError(5, "Input/output error")

        self.patch(os, "fsync", fsync)
        found = self.found(checkup.disk(self.folder, SystemClock()))["fsync"]
        self.assertEqual((found.state, found.found), (State.PROBLEM, "fails: Input/output error"))

    def test_full(self) -> None:
        """
        A disk may be rather full, or full.
        """
        for free, state in ((2 << 30, State.OK), (1 << 29, State.WARNING), (1, State.PROBLEM)):
            usage = shutil._ntuple_diskusage(1 << 40, 1 << 40, free)
            self.patch(shutil, "disk_usage", lambda path, usage=usage: usage)
            found = self.found(checkup.disk(self.folder, SystemClock()))
            self.assertEqual(found["space"].state, state)

    def test_file_system(self) -> None:
        """
        The nearest mount counts; those of other machines are a problem, those
        in memory worth a word.
        """
        mounts = [
            "/dev/sda / ext4 rw 0 0\n",
            f"x {self.folder} KIND rw 0 0\n",
            "y /tmpx nfs rw 0\n",
        ]
        opened = builtins.open
        for kind, state in (
            ("nfs4", State.PROBLEM),
            ("tmpfs", State.WARNING),
            ("xfs", State.OK),
        ):
            text = "".join(mounts).replace("KIND", kind)

            def open_(path: Any, *rest: Any, text: str = text, **more: Any) -> Any:
                if path == "/proc/self/mounts":
                    return io.StringIO(text)
                return opened(path, *rest, **more)

            self.patch(builtins, "open", open_)
            found = self.found(checkup.disk(self.folder, SystemClock()))["file system"]
            self.assertEqual((found.found.partition(",")[0], found.state), (kind, state))

    def test_no_mounts(self) -> None:
        """
        Where nobody says what is mounted, nothing is said of it.
        """

        def open_(path: Any, *rest: Any, **more: Any) -> Any:
            raise FileNotFoundError

        self.patch(builtins, "open", open_)
        self.assertNotIn("file system", self.found(checkup.disk(self.folder, SystemClock())))


class FilesTests(CheckTestCase):
    """
    Tests for L{checkup.files}.
    """

    def test_limits(self) -> None:
        """
        What matters is how far a broker can raise its limit.
        """
        infinity = resource.RLIM_INFINITY
        for limits, state in (
            ((64, 4096), State.OK),
            ((1024, infinity), State.OK),
            ((1024, 1024), State.WARNING),
            ((64, 64), State.PROBLEM),
        ):
            self.patch(resource, "getrlimit", lambda what, limits=limits: limits)
            self.assertEqual(self.states(checkup.files()), [state])


class ClocksTests(CheckTestCase):
    """
    Tests for L{checkup.clocks}.
    """

    def test_kernel(self) -> None:
        """
        The kernel knows whether somebody sets the clock.
        """
        self.assertEqual(self.states(checkup.clocks(lambda: 0)), [State.OK])
        self.assertEqual(self.states(checkup.clocks(lambda: 5)), [State.WARNING])
        self.assertEqual(len(self.states(checkup.clocks())), 1)

    def test_nobody_knows(self) -> None:
        """
        A system that has no such question is asked nothing.
        """

        def none() -> int:
            raise AttributeError

        self.assertEqual(self.states(checkup.clocks(none)), [])
