# -*- test-case-name: tests.storage.test_backup -*-
"""
Copies of a store: to be kept, and to be taken up again.

A copy is made by SQLite's online backup, from one moment of the store: a
broker may write meanwhile, and is not held up.  It is marked as a copy, so
that the broker that takes it up begins where the clock says, beyond all that
was used since the copy was made; see L{jobroute.storage.leap}.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from tempfile import mkstemp

from jobroute.errors import StorageDamaged, StorageError
from jobroute.model import SetAside
from jobroute.storage.aside import set_aside
from jobroute.storage.failures import explain
from jobroute.storage.logs import check_log, sync_directory
from jobroute.storage.schema import connect, connect_writer

#: Is told how much is done, and of how much.
Progressed = Callable[[int, int], None]

#: How many pages are copied in one step.
_STEP = 1024

#: What the source's pages say, and not the place where the copy is written.
_OF_SOURCE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_IOERR_READ")

#: A filesystem that has no second names for files.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def backup(
    path: str, destination: str, wall: float, progress: Progressed = lambda done, of: None
) -> int:
    """
    Copy a store, which a broker may be using, to a file that is not there
    yet.  It appears there when it is whole, on disk, and was looked through.

    @param wall: the time.
    @return: how many bytes it has.
    @raise StorageError: if that cannot be done.
    """
    if not os.path.exists(path):
        raise StorageError(f"There is no store {path}.")
    check_log(path)
    if os.path.lexists(destination):
        raise StorageError(f"There is a file {destination} already, and it is left as it is.")
    with _copied(path, destination, wall, progress) as new:
        return _publish(new, destination)


def restore(
    source: str,
    path: str,
    wall: float,
    progress: Progressed = lambda done, of: None,
    *,
    replace: bool = False,
) -> tuple[int, SetAside | None]:
    """
    Put a copy of a store, however it was made, in the place of one.  No
    broker may be using that.

    @param replace: set aside what is there; else there may be nothing.
    @return: how many bytes it has, and what was set aside.
    @raise StorageError: if that cannot be done.
    """
    if not os.path.exists(source):
        raise StorageError(f"There is no backup {source}.")
    there = [end for end in ("", "-wal", "-journal") if os.path.lexists(path + end)]
    if there and not replace:
        raise StorageError(
            f"There is a file {path}{there[0]} already, and it is left as it is: --set-aside keeps "
            "it in a folder of its own."
        )
    with _copied(source, path, wall, progress) as new:
        aside = set_aside(path, wall) if replace else None
        size = os.path.getsize(new)
        # What is there now is empty.
        os.rename(new, path)
        sync_directory(path)
        return size, aside


@contextmanager
def _copied(source: str, destination: str, wall: float, progress: Progressed) -> Iterator[str]:
    """
    While a copy is beside the place where it is to be, whole and on disk.
    """
    folder, name = os.path.split(os.path.abspath(destination))
    new = ""
    try:
        file, new = mkstemp(prefix=name + ".", suffix=".new", dir=folder)
        os.close(file)
        _copy_pages(source, new, progress)
        _mark(new, wall)
        with open(new, "rb") as copy:
            os.fsync(copy.fileno())
        yield new
    except sqlite3.Error as e:
        name = getattr(e, "sqlite_errorname", "")
        raise explain(e, source if name.startswith(_OF_SOURCE) else destination) from e
    except OSError as e:
        raise StorageError(f"{destination} cannot be written: {e.strerror}.") from e
    finally:
        for left in filter(None, (new, new and new + "-journal")):
            with suppress(FileNotFoundError):
                os.unlink(left)


def _copy_pages(source: str, new: str, progress: Progressed) -> None:
    def step(status: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    # Without a log, nothing is to appear beside it, wherever it lies.
    mode = "ro" if os.path.lexists(source + "-wal") else "ro&immutable=1"
    with closing(connect(source, mode=mode)) as old, closing(connect(new)) as copy:
        copy.execute("PRAGMA synchronous = OFF")
        # One moment for all steps; else each commit would begin it anew.
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM sqlite_master").fetchone()
        old.backup(copy, pages=_STEP, progress=step)
        # The copied header may say that there is a log.
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()


def _mark(new: str, wall: float) -> None:
    """
    Bring the copy up to date, look it through, and say in it what it is.
    """
    with closing(connect_writer(new)) as copy:
        said = [row[0] for row in copy.execute("PRAGMA integrity_check(1)")]
        if said != ["ok"]:
            raise StorageDamaged(
                f"The store that was copied is damaged ({said[0]}): look at it with jobroute fsck."
            )
        copy.execute("UPDATE broker SET copied = coalesce(copied, ?)", (wall,))


def _publish(new: str, destination: str) -> int:
    """
    Get the copy to its place, but to no other's.
    """
    size = os.path.getsize(new)
    try:
        os.link(new, destination)
    except OSError as e:
        if e.errno not in _NO_LINKS or os.path.lexists(destination):
            raise
        os.rename(new, destination)
    sync_directory(destination)
    return size
