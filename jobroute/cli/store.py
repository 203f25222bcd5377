# -*- test-case-name: tests.cli.test_store -*-
"""
The commands for the store on this machine: C{fsck}.  They ask no broker.
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

#: Named and not imported: who only asks a broker need not load a storage.
_CHECK = "jobroute.storage.fsck.check"
_REPAIR = "jobroute.storage.fsck.repair"
_FILE = "jobroute.storage.schema.FILE"
_DIRECTORY = "jobroute.lock.DataDirectory"

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
def locked(path: str) -> Iterator[None]:
    """
    While no broker uses the store.

    @raise BrokerAlreadyRunning: if one does.
    """
    directory: Any = namedAny(_DIRECTORY)(os.path.dirname(path), insecure=True)
    try:
        directory.acquire()
    except BrokerAlreadyRunning as e:
        raise BrokerAlreadyRunning(f"{e} Stop it before.", e.pid) from e
    try:
        yield
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
