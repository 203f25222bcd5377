# -*- test-case-name: tests.storage.test_logs -*-
"""
The write-ahead log, which belongs to its store.

A store without its log lacks the latest changes, and with the log of another
it is neither of the two; SQLite takes both as they are.  So a store that is
closed well has no log, and its header says that it needs none.  In use, and
after a crash, the header says that there is a log.  While that changes there
is a file beside the store, so that a crash in the middle is not taken for a
log that somebody removed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress

from jobroute.errors import StorageDamaged, StorageError

#: Since this schema a header can be believed.
SINCE = 3

#: Says that the header is being changed.
TURNING = "-turning"

#: The files that belong to a store, beside itself.
BESIDE = ("-wal", "-shm", "-journal", TURNING)

_MAGIC = b"SQLite format 3\x00"

#: Where the header has the way of writing (2 is with a log), and the schema.
_WAY, _SCHEMA = 18, slice(60, 64)


def check_log(path: str) -> None:
    """
    Look whether a store that is not in use has the log that it should.

    @raise StorageDamaged: if it has not.
    """
    log = path + "-wal"
    there = os.path.lexists(log)
    if not os.path.lexists(path):
        if there:
            raise StorageDamaged(
                f"The store {path} is missing, and its write-ahead log is there: put the store "
                "back, or restore a backup; --no-restore sets the log aside and starts afresh."
            )
        return
    try:
        with open(path, "rb") as file:
            header = file.read(100)
    except OSError:
        # SQLite will say so.
        return
    if not header.startswith(_MAGIC) or int.from_bytes(header[_SCHEMA], "big") < SINCE:
        return
    if header[_WAY] == 2 and not there and not os.path.lexists(path + TURNING):
        raise StorageDamaged(
            f"The write-ahead log of the store {path} is missing, and the latest changes with it: "
            f"put {log} back, or restore a backup; jobroute restore takes this store itself, too, "
            "if you move it away."
        )
    if header[_WAY] == 1 and there and os.path.getsize(log):
        raise StorageDamaged(
            f"{log} does not belong to the store {path}, which was closed without one: move it "
            "away."
        )


class Writing(sqlite3.Connection):
    """
    The connection of a store's writer.

    @ivar path: the store.
    @ivar writing: whether it writes with a log.
    """

    path: str
    writing: bool = False

    def begin_log(self) -> None:
        """
        Write with a log from here on.

        @raise StorageError: if the filesystem cannot do that.
        """
        self.writing = True
        turning = self.path + TURNING
        os.close(os.open(turning, os.O_WRONLY | os.O_CREAT, 0o600))
        sync_directory(self.path)
        if self.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StorageError(
                f"The store {self.path} is on a filesystem without shared memory; choose a data "
                "directory on a local disk."
            )
        # Now the log is there.
        self.execute("SELECT count(*) FROM sqlite_master").fetchone()
        sync_directory(self.path)
        os.unlink(turning)

    def close(self) -> None:
        """
        Close it.  If nobody else has it open, it needs no log from here on;
        but if nothing was written with one it is left as it is.
        """
        if self.writing:
            with suppress(sqlite3.Error, OSError):
                self._end_log()
        # Who only reads does not remove the log, whatever is in it.
        with suppress(sqlite3.Error), closing(_keeper(self.path)):
            super().close()
        super().close()

    def _end_log(self) -> None:
        """
        Take all that is in the log into the store, and remove it.
        """
        if self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            return
        turning = self.path + TURNING
        os.close(os.open(turning, os.O_WRONLY | os.O_CREAT, 0o600))
        sync_directory(self.path)
        with suppress(sqlite3.OperationalError):
            # Somebody else may read it.
            self.execute("PRAGMA journal_mode = DELETE").fetchone()
        if os.path.lexists(self.path + "-wal"):
            os.unlink(turning)
            return
        sync_directory(self.path)
        with open(self.path, "rb") as file:
            header = file.read(100)
        if header[_WAY] == 1:
            os.unlink(turning)


def _keeper(path: str) -> sqlite3.Connection:
    """
    A connection that keeps the log of a store in its place.
    """
    connection = sqlite3.connect(uri(path, "ro"), uri=True, check_same_thread=False)
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def uri(path: str, mode: str) -> str:
    """
    What SQLite calls a file.
    """
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?mode={mode}"


def sync_directory(path: str) -> None:
    """
    See to it that names in the directory of a file are on disk.
    """
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
