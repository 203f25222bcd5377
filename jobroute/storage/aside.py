# -*- test-case-name: tests.storage.test_aside -*-
"""
Beginning anew, with the old store kept.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime

from attrs import evolve

from jobroute.errors import StorageError
from jobroute.model import SetAside
from jobroute.storage import queries
from jobroute.storage.batch import Totals
from jobroute.storage.logs import BESIDE, sync_directory
from jobroute.storage.schema import connect, make


def set_aside(path: str, wall: float) -> SetAside | None:
    """
    Put a store into a folder of its own beside it, and an empty one in its
    place.  The empty one is marked like a copy of a store: whoever takes it up
    begins beyond all that the old one, or one that came after it, has used.

    @param wall: the time.
    @return: what was set aside, or L{None} if nothing was there.
    @raise StorageError: if that cannot be done.
    """
    there = [name for name in (path, *(path + end for end in BESIDE)) if os.path.lexists(name)]
    if not there:
        return None
    jobs, agents, used = _holds(path)
    try:
        folder = _folder(path, wall)
        for name in there:
            _keep(name, os.path.join(folder, os.path.basename(name)))
        sync_directory(os.path.join(folder, "x"))
        sync_directory(folder)
        _begin(path, used, wall)
        for end in BESIDE:
            with suppress(FileNotFoundError):
                os.unlink(path + end)
        sync_directory(path)
    except OSError as e:
        raise StorageError(f"The store {path} cannot be set aside: {e.strerror}.") from e
    return SetAside(folder, jobs, agents)


def _holds(path: str) -> tuple[int | None, int | None, Totals]:
    """
    How many open jobs and living agents a store holds, if that can be read;
    and what it has used.
    """
    try:
        with closing(connect(path, mode="ro")) as connection:
            connection.execute("BEGIN")
            used = queries.totals(connection)
            jobs, agents = connection.execute(
                "SELECT (SELECT count(*) FROM job WHERE ended IS NULL), "
                "(SELECT count(*) FROM agent WHERE living)"
            ).fetchone()
            return jobs, agents, used
    except (sqlite3.Error, TypeError):
        return None, None, Totals()


def _folder(path: str, wall: float) -> str:
    when = datetime.fromtimestamp(wall, UTC)
    first = os.path.join(os.path.dirname(path), f"aside-{when:%Y%m%dT%H%M%SZ}")
    folder, number = first, 1
    while True:
        try:
            os.mkdir(folder, 0o700)
            return folder
        except FileExistsError:
            number += 1
            folder = f"{first}-{number}"


def _keep(name: str, kept: str) -> None:
    """
    Give a file a second name, so that it is all there before anything of it
    goes; or move it where there are none.
    """
    try:
        os.link(name, kept, follow_symlinks=False)
    except FileNotFoundError:
        # The last reader may have taken it along.
        return
    except OSError as e:
        if e.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        os.rename(name, kept)


def _begin(path: str, used: Totals, wall: float) -> None:
    new = path + ".new"
    make(new)
    with closing(connect(new)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        evolve(Totals(), epoch=used.epoch, numbers=used.numbers, event=used.event).store(connection)
        connection.execute("UPDATE broker SET copied = ?", (wall,))
        connection.execute("COMMIT")
    with suppress(FileNotFoundError):
        # It would be taken for one of the new store.
        os.unlink(path + "-journal")
    os.rename(new, path)
    sync_directory(path)
