# -*- test-case-name: tests.storage.test_rows -*-
"""
What SQLite says when something goes wrong, as errors of ours: one sentence
that says what is wrong and what to do about it.
"""

from __future__ import annotations

import sqlite3

from jobroute.errors import StorageDamaged, StorageError, StorageLost

#: After these nobody knows what is on disk.
_FSYNC = ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC")

#: What the filesystem says when there is no room or the quota is used up.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def explain(error: Exception, path: str, *, reading: bool = False) -> StorageError:
    """
    Say what an error means that reading or writing the store raised.

    @return: a L{StorageLost} if it makes no sense to try again.
    """
    if isinstance(error, StorageError):
        return error
    name = getattr(error, "sqlite_errorname", "")
    # What SQLite itself raises has a name; what is raised by those who make
    # values of what was read has none.
    unreadable = reading and not name and not isinstance(error, (OSError, MemoryError))
    if name.startswith(_DAMAGED) or unreadable:
        return StorageDamaged(
            f"The store {path} is damaged ({error}): restore a backup, or start afresh with "
            "--no-restore, which sets it aside; jobroute fsck says what is wrong with it."
        )
    if name in _FSYNC:
        return StorageLost(
            f"What was written to {path} may not be on disk ({name}): check the disk, and start "
            "the broker again."
        )
    if name.startswith(_FULL):
        return StorageError(
            f"The store {path} cannot be written, no room on the filesystem or over a quota "
            f"({error}): make room, or check the disk."
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError(f"The store {path} is locked by another program: end what has it open.")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return StorageError(
            f"The store {path} cannot be opened for writing ({error}): check that it and its "
            "directory belong to the broker's user."
        )
    if isinstance(error, OSError):
        return StorageError(
            f"The store {path} cannot be opened for writing ({error.strerror}): check its "
            "directory."
        )
    if isinstance(error, (sqlite3.OperationalError, MemoryError)):
        return StorageError(f"The store {path} cannot be used ({name or 'no memory'}: {error}).")
    return contradiction(path, f"{type(error).__name__}: {error}")


def contradiction(path: str, what: str) -> StorageLost:
    """
    The broker wrote what contradicts what is stored.
    """
    return StorageLost(
        f"The broker wrote what cannot be stored in {path} ({what}): this is a bug of the broker; "
        "start it again, and report it."
    )


def left_behind(path: str, changes: int) -> StorageError:
    """
    The store is closed while it cannot be written.
    """
    return StorageError(
        f"The store {path} was closed without the last {changes} changes, which nobody was "
        "promised."
    )
