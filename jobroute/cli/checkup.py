# -*- test-case-name: tests.cli.test_checkup -*-
"""
What can be wrong with a machine on which a broker or an agent shall live, each
a function that looks and says what it found.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from attrs import frozen

from jobroute import __version__
from jobroute.config import frontend_url
from jobroute.interfaces import IClock
from jobroute.zeromq import about

#: Packages whose versions matter when somebody asks for help.
PACKAGES = ("Twisted", "txZMQ", "pyzmq", "msgspec")

#: The oldest SQLite that has all that the store needs.
SQLITE = (3, 35)

#: So many writes are timed.
WRITES = 20

#: Seconds above which a write is slow, and below which nobody wrote anything.
SLOW, UNREAL = 0.020, 0.000_03

#: Bytes of free space below which there is too little, and far too little.
LITTLE, NONE = 1 << 30, 64 << 20

#: Open files below which a broker of some size has too few, and any has.
FEW, TOO_FEW = 4096, 256

#: File systems of other machines: SQLite's locks and its shared memory don't reach that far.
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs")

#: What adjtimex(2) returns when nobody sets the clock.
_UNSYNCHRONIZED = 5


class State(StrEnum):
    """
    How bad it is.
    """

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen
class Finding:
    """
    What a check found.

    @ivar check: what was looked at.
    @ivar found: what there is, in a few words.
    @ivar advice: what to do, empty if there is nothing to be done.
    """

    check: str
    state: State
    found: str
    advice: str = ""


def versions() -> Iterator[Finding]:
    """
    Which programs these are.
    """
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("jobroute", State.OK, f"{__version__}, Python {python}")
    for package in PACKAGES:
        try:
            yield Finding(package, State.OK, version(package))
        except PackageNotFoundError:
            advice = f"pip install {package}"
            yield Finding(package, State.PROBLEM, "is not installed", advice)
    if about.has("ipc"):
        curve = "with" if about.has("curve") else "without"
        yield Finding("libzmq", State.OK, f"{about.version()}, {curve} CURVE")
    else:
        yield Finding(
            "libzmq", State.PROBLEM, f"{about.version()}, without ipc://", "Use --tcp 127.0.0.1."
        )
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= SQLITE:
        yield Finding("SQLite", State.OK, found)
    else:
        least = ".".join(map(str, SQLITE))
        advice = f"Use a Python with SQLite {least} or later, or --storage memory."
        yield Finding("SQLite", State.PROBLEM, found, advice)


def directory(path: str) -> Iterator[Finding]:
    """
    Whether a broker can have its data directory here.
    """
    name = "data directory"
    if not os.path.isdir(path):
        parent = _existing(path)
        if os.path.exists(path) or not os.access(parent, os.W_OK | os.X_OK):
            advice = "Choose another one with --data-dir or $JOBROUTE_DATA_DIR."
            yield Finding(name, State.PROBLEM, f"{path} cannot be made", advice)
        else:
            yield Finding(name, State.OK, f"{path} will be made")
        return
    status = os.stat(path)
    if not os.access(path, os.W_OK | os.X_OK):
        advice = f"It belongs to user {status.st_uid}; run as that user, or choose another one."
        yield Finding(name, State.PROBLEM, f"{path} cannot be written", advice)
    elif status.st_mode & 0o022:
        yield Finding(name, State.PROBLEM, f"others can write to {path}", f"chmod go-w {path}")
    elif status.st_mode & 0o044:
        advice = f"chmod 700 {path}, unless they shall."
        yield Finding(name, State.WARNING, f"others can read {path}", advice)
    else:
        yield Finding(name, State.OK, path)


def sockets(path: str) -> Iterator[Finding]:
    """
    Whether sockets can be bound.
    """
    longest = len(os.fsencode(frontend_url(path).removeprefix("ipc://")))
    longest += len("heartbeat") - len("frontend")
    if longest > 107:
        yield Finding(
            "ipc sockets",
            State.PROBLEM,
            f"their paths would have {longest} bytes, and may have 107",
            "Choose a shorter data directory.",
        )
    else:
        yield from _bound("ipc sockets", socket.AF_UNIX, os.path.join(_existing(path), ""))
    yield from _bound("tcp sockets", socket.AF_INET, "")


def _bound(name: str, family: int, folder: str) -> Iterator[Finding]:
    try:
        with (
            tempfile.TemporaryDirectory(dir=folder or None) as temporary,
            socket.socket(family) as bound,
        ):
            bound.bind(os.path.join(temporary, "s") if folder else ("127.0.0.1", 0))
            bound.listen()
    except OSError as e:
        where = folder or "127.0.0.1"
        advice = "Choose another data directory." if folder else "Use ipc://, the default."
        yield Finding(name, State.PROBLEM, f"cannot be bound in {where}: {e.strerror or e}", advice)
    else:
        yield Finding(name, State.OK, "can be bound")


def disk(path: str, clock: IClock) -> Iterator[Finding]:
    """
    How much room there is, and how long a write takes until it is safe.
    """
    folder = _existing(path)
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:,.1f} GiB free"
    if free < LITTLE:
        state = State.PROBLEM if free < NONE else State.WARNING
        yield Finding("space", state, found, "Make room: a broker with a full disk takes no jobs.")
    else:
        yield Finding("space", State.OK, found)
    kind = _file_system(folder)
    if kind in REMOTE:
        yield Finding(
            "file system",
            State.PROBLEM,
            f"{kind}, of another machine",
            "Choose a data directory on a disk of this machine.",
        )
    elif kind:
        state = State.WARNING if kind in ("tmpfs", "ramfs") else State.OK
        advice = "Nothing in it outlives a power cut." if state is State.WARNING else ""
        yield Finding("file system", state, kind, advice)
    try:
        took = median(_writes(folder, clock))
    except OSError as e:
        yield Finding("fsync", State.PROBLEM, f"fails: {e.strerror}", "Look at the disk.")
        return
    found = f"{took * 1000:.2f} ms"
    if took > SLOW:
        advice = "Each SUBMIT waits so long; many at a time share it. A faster disk helps."
        yield Finding("fsync", State.WARNING, found, advice)
    elif took < UNREAL:
        advice = "Too fast for a disk: what is acknowledged may not outlive a power cut."
        yield Finding("fsync", State.WARNING, found, advice)
    else:
        yield Finding("fsync", State.OK, found)


def _writes(folder: str, clock: IClock) -> Iterator[float]:
    """
    How long each of some writes takes, as SQLite's log does them.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(WRITES):
            began = clock.monotonic()
            os.write(file.fileno(), bytes(4096))
            os.fsync(file.fileno())
            yield clock.monotonic() - began


def _file_system(folder: str) -> str:
    """
    The kind of file system that a folder is on; empty if nobody says.
    """
    best, kind = "", ""
    real = os.path.realpath(folder)
    with suppress(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, mounted, found, *_ = line.split(" ")
            place = mounted.encode().decode("unicode_escape").rstrip("/")
            if (real + "/").startswith(place + "/") and len(place) >= len(best):
                best, kind = place, found
    return kind


def files() -> Iterator[Finding]:
    """
    How many files and sockets a process may open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= FEW:
        yield Finding("open files", State.OK, f"{soft:,} at most")
        return
    state = State.PROBLEM if hard < TOO_FEW else State.WARNING
    advice = "Each client and each agent of a broker takes one or two: LimitNOFILE= or ulimit -n."
    yield Finding("open files", state, f"{hard:,} at most", advice)


def clocks(adjtimex: Callable[[], int] | None = None) -> Iterator[Finding]:
    """
    Whether somebody sets the wall clock.
    """
    try:
        synchronized = (_adjtimex if adjtimex is None else adjtimex)() != _UNSYNCHRONIZED
    except (OSError, AttributeError):
        return
    if synchronized:
        yield Finding("clock", State.OK, "is synchronized")
    else:
        advice = "Deadlines and histories follow it: start chrony, ntpd or systemd-timesyncd."
        yield Finding("clock", State.WARNING, "nobody synchronizes it", advice)


def _adjtimex() -> int:
    """
    Ask the kernel; a zeroed structure changes nothing.
    """
    return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(1024)))


def _existing(path: str) -> str:
    """
    The nearest folder that is there.
    """
    path = os.path.abspath(path)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
