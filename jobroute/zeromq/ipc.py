# -*- test-case-name: tests.zeromq.test_listening -*-
"""
The files of C{ipc://} sockets.

libzmq unlinks whatever stands at a path before it binds, so a living socket
would be taken over in silence; and it leaves the file behind.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Which file it is: device and inode.
FileMark = tuple[int, int]


class InUse(OSError):
    """
    Somebody listens there.

    @ivar pid: which process, or 0 if the system does not tell.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self.pid = pid


def _listener(probe: socket.socket) -> int:
    """
    The process at the other end of a connection, where the system tells.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return 0
    size = struct.calcsize("3i")
    pid: int = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, option, size))[0]
    return pid


def mark(path: str) -> FileMark | None:
    """
    Which file is at a path now; L{None} if there is none.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def clear(path: str) -> None:
    """
    Make room for a socket: remove the file of one that nobody listens on.

    @raise OSError: if somebody does (L{InUse}), if the file is no
        socket (C{EEXIST}), or if the system forbids it.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise FileExistsError(errno.EEXIST, "a file that is no socket stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        problem = probe.connect_ex(path)
        pid = 0 if problem else _listener(probe)
    if problem == errno.ECONNREFUSED:
        with suppress(FileNotFoundError):
            os.unlink(path)
    elif problem in (errno.EACCES, errno.EPERM):
        raise PermissionError(problem, os.strerror(problem))
    elif problem != errno.ENOENT:
        # Also a full backlog, which only a living socket has.
        raise InUse(pid)


def remove(path: str, ours: FileMark | None) -> None:
    """
    Remove a socket's file, unless it is somebody else's by now.
    """
    if ours is not None and mark(path) == ours:
        with suppress(OSError):
            os.unlink(path)


@contextmanager
def private() -> Iterator[None]:
    """
    Files made in here are for this user only.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
