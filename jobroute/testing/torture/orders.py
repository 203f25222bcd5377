# -*- test-case-name: tests.torture.test_torture -*-
"""
What every process of a torture is told at its birth, and how it begins.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from attrs import define, field, frozen
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.reflect import namedAny
from zope.interface import implementer

from jobroute.clock import SystemClock
from jobroute.config import Settings, load, read_file
from jobroute.testing.history import Note
from jobroute.testing.torture.notes import SUFFIX, Notes

#: Of prctl(2): the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1


@frozen
class Orders:
    """
    What a process is told.

    @ivar folder: where everything is.
    @ivar began: what the monotonic clock said at the beginning.
    @ivar name: the process.
    @ivar life: which life of it, from 1.
    @ivar seed: what it does at random follows from it.
    @ivar agents: the names of all agents.
    @ivar parent: the process that started it.
    """

    folder: str
    began: float
    name: str
    life: int
    seed: int
    agents: list[str]
    parent: int

    @property
    def who(self) -> str:
        """
        This life, as the history names it.
        """
        return f"{self.name}.{self.life}"

    @property
    def place(self) -> Place:
        """
        Where everything is.
        """
        return Place(Path(self.folder))

    def encode(self) -> str:
        """
        As an argument of a command line.
        """
        return msgspec.json.encode(self).decode()


@frozen
class Place:
    """
    The folder of a torture.
    """

    folder: Path

    @property
    def data(self) -> Path:
        """
        The data directory of the broker.
        """
        return self.folder / "broker"

    @property
    def config(self) -> Path:
        """
        The settings of the broker.
        """
        return self.folder / "broker.toml"

    @property
    def notes(self) -> Path:
        """
        Where the histories are.
        """
        return self.folder / "notes"

    @property
    def logs(self) -> Path:
        """
        Where the logs are.
        """
        return self.folder / "logs"

    @property
    def about(self) -> Path:
        """
        What the judge has to know about this torture.
        """
        return self.folder / "torture.json"

    @property
    def calm(self) -> Path:
        """
        A file that is there when the trouble is over.
        """
        return self.folder / "calm"

    @property
    def url(self) -> str:
        """
        Where the broker's frontend is.
        """
        return self.settings().endpoints["frontend"]

    def settings(self) -> Settings:
        """
        The settings of the broker, as it loads them.

        @raise ConfigurationError: if it would not.
        """
        return load({"data_dir": str(self.data)}, read_file(str(self.config)))

    def history(self, who: str) -> Path:
        """
        The file with the history of one life of a process.
        """
        return self.notes / f"{who}{SUFFIX}"


@implementer(ILogObserver)
@define
class Bugs:
    """
    Notes what is logged as a bug.
    """

    note: Note

    def __call__(self, event: LogEvent) -> None:
        """
        Something was logged.
        """
        if event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            said = formatEvent(event)
            text = said if failure is None else f"{said} {failure.getTraceback()}"
            self.note("bug", text=text)


@define(eq=False)
class Child:
    """
    A process of a torture, at its beginning.

    @ivar note: its history.
    @ivar reactor: in which everything happens.
    """

    orders: Orders
    note: Callable[..., None]
    reactor: Any = field(factory=lambda: namedAny("twisted.internet.reactor"))

    def on_stop(self, stop: Callable[[], object]) -> None:
        """
        Have something called when the process is asked to end.
        """

        def asked(*arguments: object) -> None:
            self.reactor.callFromThread(stop)

        signal.signal(signal.SIGTERM, asked)


def begin() -> Child:
    """
    Be a process of a torture: one that dies with its parent, and notes what
    is logged as a bug.
    """
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    _die_with_parent(orders.parent)
    clock = SystemClock()
    notes = Notes(
        orders.place.history(orders.who), orders.who, lambda: clock.monotonic() - orders.began
    )
    observers: list[ILogObserver] = [textFileLogObserver(sys.stderr), Bugs(notes.note)]
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)
    return Child(orders, notes.note)


def _die_with_parent(parent: int) -> None:
    with suppress(OSError, AttributeError):
        # Of Linux; elsewhere the parent has to end in order.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
