# -*- test-case-name: tests.storage.test_fsck -*-
"""
Looking for what is wrong with a store.

The store may be in use: it is only read, and each question is answered from
one moment of it, so that a broker that writes meanwhile is neither held up
nor taken for damage.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import msgspec
from attrs import frozen

from jobroute.errors import StorageDamaged
from jobroute.storage.failures import explain
from jobroute.storage.invariants import INVARIANTS
from jobroute.storage.rows import unpack_frames
from jobroute.storage.schema import connect, connect_checker

#: Is told how much is done, and of how much.
Progressed = Callable[[int, int], None]

#: So many places are named, of each kind.
NAMED = 5

#: The database itself: its pages, its indexes.
DATABASE = "database"

#: The tables are not those of this schema.
SCHEMA = "schema"

#: What is mended can bring more to light, but not for ever.
_ROUNDS = 5

#: After so many steps of SQLite's machine a signal is looked at.
_STEPS = 200_000

_MEND = "jobroute fsck --repair mends it; stop the broker before."
_RESTORE = "Restore a backup; the broker must not go on with this store."


@frozen
class Finding:
    """
    One kind of damage.

    @ivar kind: its name.
    @ivar says: what is wrong.
    @ivar count: how often.
    @ivar where: the first places.
    @ivar repairable: whether it can be mended with nothing lost.
    """

    kind: str
    says: str
    count: int
    where: tuple[str, ...]
    repairable: bool = False

    @property
    def remedy(self) -> str:
        """
        What to do about it.
        """
        return _MEND if self.repairable else _RESTORE


def check(path: str, progress: Progressed = lambda done, of: None) -> tuple[Finding, ...]:
    """
    Look for everything that can be wrong with a store.

    @raise StorageError: if it cannot be looked at.
    """
    try:
        connection, whole = connect_checker(path)
        with closing(connection):
            return (*_database(connection, whole, progress), *_broken(connection, progress))
    except sqlite3.Error as e:
        raise _explained(e, path) from e


def repair(path: str, progress: Progressed = lambda done, of: None) -> tuple[Finding, ...]:
    """
    Mend what can be mended with nothing lost, all of it or nothing.  The
    store must not be in use.

    @return: what was found and is mended.
    @raise StorageError: if there is damage that cannot be mended, or the
        store cannot be looked at or written.
    """
    found = {finding.kind: finding for finding in check(path, progress)}
    left: Iterable[Finding] = found.values()
    by_name = {invariant.name: invariant for invariant in INVARIANTS}
    try:
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(_ROUNDS):
                if not left or not all(finding.repairable for finding in left):
                    break
                for finding in left:
                    for statement in by_name[finding.kind].repair:
                        connection.execute(statement)
                # More may come to light, and the counts change.
                left = tuple(_broken(connection, progress))
                found = {**{finding.kind: finding for finding in left}, **found}
            if left:
                raise StorageDamaged(
                    f"The store {path} cannot be mended and was left as it is: "
                    f"{', '.join(f.kind for f in left if not f.repairable)}; restore a backup."
                )
            connection.execute("COMMIT")
    except sqlite3.Error as e:
        raise _explained(e, path) from e
    return tuple(found.values())


def _database(
    connection: sqlite3.Connection, whole: bool, progress: Progressed
) -> Iterator[Finding]:
    """
    What SQLite itself says.
    """
    progress(0, len(INVARIANTS) + 1)
    connection.set_progress_handler(lambda: 0, _STEPS)
    if not whole:
        yield Finding(SCHEMA, "The tables are not those of this schema.", 1, ("sqlite_master",))
    try:
        rows = connection.execute("PRAGMA integrity_check")
        said = [row[0] for row in rows]
    except sqlite3.DatabaseError as e:
        said = [_damage(e)]
    if said != ["ok"]:
        yield Finding(DATABASE, "SQLite finds the file damaged.", len(said), tuple(said[:NAMED]))


def _broken(connection: sqlite3.Connection, progress: Progressed) -> Iterator[Finding]:
    """
    The invariants that do not hold.
    """
    connection.create_function("frames_in", 1, _frames_in, deterministic=True)
    for done, invariant in enumerate(INVARIANTS, 1):
        progress(done, len(INVARIANTS) + 1)
        count, where = 0, []
        try:
            for (place,) in connection.execute(invariant.query):
                count += 1
                if count <= NAMED:
                    where.append(str(place))
        except sqlite3.DatabaseError as e:
            where.append(_damage(e))
            yield Finding(invariant.name, "This could not be looked at.", 1, tuple(where))
            continue
        if count:
            yield Finding(
                invariant.name, invariant.says, count, tuple(where), bool(invariant.repair)
            )
    progress(len(INVARIANTS) + 1, len(INVARIANTS) + 1)


def _frames_in(packed: object) -> int | None:
    """
    How many frames are in a blob; -1 if it is damaged.
    """
    if packed is None:
        return None
    try:
        return len(unpack_frames(packed))  # type: ignore[arg-type]
    except (StorageDamaged, msgspec.DecodeError, TypeError):
        return -1


def _damage(error: sqlite3.DatabaseError) -> str:
    """
    What a question met that could not be answered.
    """
    if isinstance(error, sqlite3.OperationalError):
        # No damage: a lock, no memory, somebody who does not want to wait.
        raise error
    return str(error)


def _explained(error: sqlite3.Error, path: str) -> BaseException:
    if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
        return KeyboardInterrupt()
    return explain(error, path, reading=True)
