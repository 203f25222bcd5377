# -*- test-case-name: tests.test_lock -*-
"""
One broker a data directory.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress

from attrs import define, field

from jobroute.errors import BrokerAlreadyRunning, ConfigurationError

LOCK = "broker.lock"

#: What others may not be allowed.
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@define(eq=False)
class DataDirectory:
    """
    The private directory of a broker, locked while it lives.

    The lock is the kernel's, so that it ends with its process however that
    ends; the pid in the file is for people, and a stale one means nothing.

    @ivar path: of the directory.
    @ivar insecure: whether it may be one that others can write to.
    @ivar owner: the user and group that the process becomes, if it is root
        and does not stay it.
    """

    path: str
    insecure: bool = False
    owner: tuple[int, int] | None = None
    _file: int | None = field(default=None, init=False)

    def acquire(self) -> None:
        """
        Make the directory if it is not there, and lock it.

        @raise ConfigurationError: if it cannot be used; the sentence says
            why.
        @raise BrokerAlreadyRunning: if another broker has it.
        """
        if self._file is not None:
            return
        try:
            made = not os.path.isdir(self.path)
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            if made and self.owner is not None:
                os.chown(self.path, *self.owner)
            status = os.stat(self.path)
        except OSError as e:
            raise ConfigurationError(
                f"data_dir: {self.path} cannot be made or used: {e.strerror}."
            ) from e
        user = os.geteuid() if self.owner is None else self.owner[0]
        if status.st_uid not in (user, 0):
            raise ConfigurationError(
                f"data_dir: {self.path} belongs to user {status.st_uid}, and the broker is user "
                f"{user}; choose a directory of its own."
            )
        if not os.access(self.path, os.W_OK | os.X_OK) or status.st_uid != user != 0:
            raise ConfigurationError(
                f"data_dir: user {user} cannot write to {self.path}; choose a directory of its own."
            )
        if status.st_mode & _OTHERS and not self.insecure:
            raise ConfigurationError(
                f"data_dir: others can write to {self.path}, and put a store or sockets of their "
                f"own there; say chmod go-w {self.path}, or --insecure."
            )
        try:
            file = os.open(
                os.path.join(self.path, LOCK),
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
                0o600,
            )
        except OSError as e:
            raise ConfigurationError(
                f"data_dir: the lock file in {self.path} cannot be opened: {e.strerror}."
            ) from e
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(file, 32, 0).decode("ascii", "replace").strip()
            os.close(file)
            pid = int(text) if text.isdecimal() else 0
            who = f"process {pid}" if pid else "it just starts"
            raise BrokerAlreadyRunning(
                f"A broker runs with the data directory {self.path} already: {who}.", pid
            ) from None
        self._file = file
        try:
            self.adopt(os.path.join(self.path, LOCK))
            self.sign(os.getpid())
        except BaseException:
            self.release()
            raise

    def adopt(self, path: str) -> None:
        """
        Give a file that was made with more privileges than the directory's
        owner has to that owner.

        @raise ConfigurationError: if that cannot be done.
        """
        if os.geteuid() == 0 and os.path.dirname(path) == self.path:
            try:
                owner = os.stat(self.path)
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
            except OSError as e:
                raise ConfigurationError(
                    f"data_dir: {path} cannot be given to the owner of {self.path}: {e.strerror}."
                ) from e

    def sign(self, pid: int) -> None:
        """
        Write whose lock it is.

        @raise ConfigurationError: if that cannot be done.
        """
        assert self._file is not None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{pid}\n".encode("ascii"), 0)
        except OSError as e:
            raise ConfigurationError(
                f"data_dir: the lock file in {self.path} cannot be written: {e.strerror}."
            ) from e

    def release(self) -> None:
        """
        Let another broker have it.  The file stays: removing it would let
        two brokers lock two files of one name.
        """
        if self._file is not None:
            file, self._file = self._file, None
            # A pid that stays there means nothing.
            with suppress(OSError):
                os.ftruncate(file, 0)
            os.close(file)
