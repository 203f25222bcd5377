# -*- test-case-name: tests.storage.test_schema -*-
"""
The file of a store: how it is made, opened, and brought up to date.

Each schema has a number, which the file carries as its C{user_version}, and
a script in C{migrations} that makes it from the one before.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from importlib.resources import files
from typing import TypeVar

from jobroute.errors import StorageDamaged, StorageError
from jobroute.storage.logs import Writing, check_log, sync_directory, uri

#: The name of the file in the data directory.
FILE = "store.sqlite"

C = TypeVar("C", bound=sqlite3.Connection)

#: Marks a file as a store of ours.
APPLICATION = 0x6A6F6272

#: A write-ahead log larger than this many bytes is emptied even if readers
#: have to wait for that.
LOG_LIMIT = 64 * 1024 * 1024

#: After so many pages the log is copied into the database.
_CHECKPOINT = 2000

#: How many bytes each database has at least.
_HEADER = 512

#: KiB of pages that the writer keeps in memory.
_CACHE = 16384


@cache
def migrations() -> tuple[str, ...]:
    """
    The scripts; the first one makes schema 1.
    """
    scripts = (files("jobroute.storage") / "migrations").iterdir()
    found = sorted((s.name, s.read_text("utf-8")) for s in scripts if s.name.endswith(".sql"))
    for number, (name, _) in enumerate(found, 1):
        if not name.startswith(f"{number:04}_"):
            raise StorageError(f"Schema {number} is missing in this installation: found {name}.")
    return tuple(script for _, script in found)


def connect(path: str, timeout: float = 5.0, mode: str = "rw") -> sqlite3.Connection:
    """
    Open a file that exists, in autocommit mode, for use by any thread.

    @param timeout: how long to wait for another program's lock, in seconds.
    @param mode: C{ro} for those who are not to change anything, and to leave
        the log where it is when they close.
    """
    return _connect(path, timeout, mode, sqlite3.Connection)


def _connect(path: str, timeout: float, mode: str, kind: type[C]) -> C:
    return sqlite3.connect(
        uri(path, mode),
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        factory=kind,
        cached_statements=256,
        uri=True,
    )


def connect_reader(path: str) -> sqlite3.Connection:
    """
    Open a store that can only be read.
    """
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def connect_checker(path: str) -> tuple[sqlite3.Connection, bool]:
    """
    Open a store that others may use, to look at all of it.

    @return: also whether its tables are those of the latest schema.
    @raise StorageError: if it has another schema, or is no store.
    @raise sqlite3.Error: if it cannot be opened.
    """
    connection = connect(path, mode="ro")
    try:
        known = migrations()
        _check(connection, path, len(known))
        if _version(connection) < len(known):
            raise StorageError(
                f"The store {path} has schema {_version(connection)}, which is older than this "
                "jobroute: start a broker with it once, which brings it up to date."
            )
        with closing(sqlite3.connect(":memory:")) as model:
            for script in known:
                model.executescript(script)
            return connection, _tables(connection) == _tables(model)
    except BaseException:
        connection.close()
        raise


def _tables(connection: sqlite3.Connection) -> list[Sequence[str]]:
    return connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY name"
    ).fetchall()


def connect_writer(path: str, scripts: Sequence[str] | None = None) -> Writing:
    """
    Open the store for its one writer; make it or bring it up to date first.
    Before it writes it is to call L{Writing.begin_log}.

    @raise StorageDamaged: if it is damaged, or no store.
    @raise StorageError: if it is newer than we are.
    @raise sqlite3.Error: if it cannot be opened.
    """
    known = migrations() if scripts is None else scripts
    check_log(path)
    if not os.path.lexists(path):
        _create(path, known)
    else:
        _check_file(path)
    connection = _connect(path, 1.0, "rw", Writing)
    connection.path = path
    try:
        _check(connection, path, len(known))
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA cache_size = {-_CACHE}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
        _migrate(connection, known)
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_file(path: str) -> None:
    """
    Look whether a store is a file, ours, and not empty.
    """
    status = os.stat(path)
    user = os.geteuid()
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(
            f"The store {path} is not a file: move it away, or choose another data directory."
        )
    if user not in (0, status.st_uid):
        raise StorageError(
            f"The store {path} belongs to user {status.st_uid}, and the broker is user {user}: "
            f"say chown {user} {path}, or start the broker as its owner."
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StorageError(f"Others can write to the store {path}: say chmod 600 {path}.")
    if status.st_size < _HEADER:
        raise StorageDamaged(
            f"The store {path} is damaged, there is nothing in it: restore a backup, or start "
            "afresh with --no-restore, which sets it aside."
        )


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _check(connection: sqlite3.Connection, path: str, known: int) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise StorageDamaged(
            f"{path} is a database of another program: move it away, or choose another data "
            "directory."
        )
    version = _version(connection)
    if version > known:
        raise StorageError(
            f"The store {path} has schema {version}, and this jobroute knows none after {known}: "
            "install the newer version, or choose another data directory."
        )


def _migrate(connection: sqlite3.Connection, scripts: Sequence[str]) -> None:
    """
    Bring a store up to date, each step all or nothing.
    """
    for number, script in enumerate(scripts[_version(connection) :], _version(connection) + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def make(path: str, scripts: Sequence[str] | None = None) -> None:
    """
    Make an empty store, in the place of whatever is there.
    """
    if os.path.lexists(path):
        os.unlink(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, migrations() if scripts is None else scripts)


def _create(path: str, scripts: Sequence[str]) -> None:
    """
    Make a store beside its place and move it there, so that what stands at
    its place is never half made.
    """
    new = path + ".new"
    make(new, scripts)
    os.rename(new, path)
    sync_directory(path)
