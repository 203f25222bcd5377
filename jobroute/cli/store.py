# -*- test-case-name: tests.cli.test_store -*-
"""
The commands for the store on this machine: C{fsck}, C{backup} and
C{restore}.  They ask no broker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import click
from twisted.python.reflect import namedAny

from jobroute.cli.screen import Column, Screen
from jobroute.cli.session import Session, pass_session
from jobroute.config import default_data_dir
from jobroute.errors import BrokerAlreadyRunning, JobrouteError
from jobroute.lock import DataDirectory

#: Named and not imported: who only asks a broker need not load a storage.
_CHECK = "jobroute.storage.fsck.check"
_REPAIR = "jobroute.storage.fsck.repair"
_BACKUP = "jobroute.storage.copies.backup"
_RESTORE = "jobroute.storage.copies.restore"
_SET_ASIDE = "jobroute.storage.aside.set_aside"
_FILE = "jobroute.storage.schema.FILE"

#: Exit statuses.
FOUND, IN_VAIN = 1, 2

data_dir_option = click.option(
    "--data-dir",
    envvar="JOBROUTE_DATA_DIR",
    metavar="DIR",
    help="The broker's data directory; the default one if not given.",
)


def store_in(data_dir: str | None) -> str:
    """
    The store in a data directory.
    """
    return os.path.join(os.path.abspath(data_dir or default_data_dir()), namedAny(_FILE))


@contextmanager
def locked(path: str) -> Iterator[DataDirectory]:
    """
    While no broker uses the store.

    @raise BrokerAlreadyRunning: if one does.
    """
    directory = DataDirectory(os.path.dirname(path), insecure=True)
    try:
        directory.acquire()
    except BrokerAlreadyRunning as e:
        raise BrokerAlreadyRunning(f"{e} Stop it before.", e.pid) from e
    try:
        yield directory
    finally:
        directory.release()


@click.command()
@data_dir_option
@click.option("--repair", is_flag=True, help="Mend what can be mended with nothing lost.")
@pass_session
def fsck(session: Session, data_dir: str | None, repair: bool) -> None:
    """
    Look for damage in the store, of a running broker or a stopped one.

    Exit status: 0 there is none, or all of it was mended; 1 there is some; 2 the store could not
    be looked at, or not be mended.
    """
    screen = session.screen
    path = store_in(data_dir)
    try:
        with screen.progress("Looking", 1) as progress:
            if repair:
                # Not the lock of a directory where there is no store.
                os.stat(path)
                with locked(path):
                    found = namedAny(_REPAIR)(path, progress)
            else:
                found = namedAny(_CHECK)(path, progress)
    except (JobrouteError, OSError) as e:
        sentence = f"{path}: {e.strerror}." if isinstance(e, OSError) else str(e)
        if screen.json:
            screen.value({"store": path, "error": sentence})
        screen.say(sentence)
        raise click.exceptions.Exit(IN_VAIN) from None
    if screen.json:
        screen.value(
            {
                "store": path,
                "repaired": repair,
                "found": [{**attrs.asdict(each), "remedy": each.remedy} for each in found],
            }
        )
    else:
        _show(screen, path, found, repair)
    if found and not repair:
        raise click.exceptions.Exit(FOUND)


@click.command()
@click.argument("destination", type=click.Path(), metavar="FILE")
@data_dir_option
@pass_session
def backup(session: Session, destination: str, data_dir: str | None) -> None:
    """
    Copy the store, while the broker works on it, to a FILE that is not there yet.

    The copy is looked through, and appears when it is whole and on disk.
    """
    screen = session.screen
    path = store_in(data_dir)
    with screen.progress("Copying", 1) as progress:
        size = namedAny(_BACKUP)(path, destination, screen.clock.wall(), progress)
    _copied(screen, path, destination, size)


@click.command()
@click.argument("source", type=click.Path(), metavar="FILE")
@data_dir_option
@click.option(
    "--set-aside", is_flag=True, help="Keep the store that is there in a folder beside it."
)
@pass_session
def restore(session: Session, source: str, data_dir: str | None, set_aside: bool) -> None:
    """
    Put a copy of a store into the data directory of a broker that is stopped.

    The broker that starts with it goes on with the jobs that were open then, under numbers that
    nobody has used.
    """
    screen = session.screen
    path = store_in(data_dir)
    with locked(path) as directory, screen.progress("Copying", 1) as progress:
        wall = screen.clock.wall()
        size, aside = namedAny(_RESTORE)(source, path, wall, progress, replace=set_aside)
        directory.adopt(path)
    if aside is not None:
        screen.say(f"The store that was there is now in {aside.path}.")
    _copied(screen, source, path, size)


def _copied(screen: Screen, source: str, destination: str, size: int) -> None:
    if screen.json:
        screen.value({"from": source, "to": destination, "bytes": size})
    else:
        screen.prose(f"{source} is copied to {destination}: {size:,} bytes.")


def _show(screen: Screen, path: str, found: Any, repaired: bool) -> None:
    if not found:
        screen.prose(f"The store {path} is sound.")
        return
    columns = [
        Column("what"),
        Column("count", number=True),
        Column("where"),
        Column("repair"),
        Column("means"),
    ]
    screen.table(
        columns,
        [
            (
                each.kind,
                each.count,
                "; ".join(each.where) + ("; …" if each.count > len(each.where) else ""),
                ("done" if repaired else "yes") if each.repairable else "no",
                each.says,
            )
            for each in found
        ],
    )
    if repaired:
        screen.say(f"The store {path} is mended.")
        return
    for remedy in dict.fromkeys(each.remedy for each in found):
        screen.say(remedy)
