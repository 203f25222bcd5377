# -*- test-case-name: tests.torture.test_notes -*-
"""
The history of each process in a file of its own, and all of them in one.

A line is written by one write(2) before what it tells of has an effect, so
that nothing that mattered is lost with a process that is killed.  Times are
those of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec
from attrs import define, field, frozen

from jobroute.testing.errands import Errand
from jobroute.testing.history import Entry, History
from jobroute.testing.questions import JobPlan

#: How the names of these files end.
SUFFIX = ".jsonl"


class Line(msgspec.Struct, omit_defaults=True):
    """
    One line of a file.

    @ivar at: seconds since the beginning.
    @ivar who: the process, with the number of its life.
    @ivar what: one word for it.
    @ivar said: whatever else there is to say.
    """

    at: float
    who: str
    what: str
    said: dict[str, Any] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def pack(value: Any) -> Any:
    """
    A value as JSON has it, from which L{unpack} makes the same again.
    """
    match value:
        case bytes():
            return {"$bytes": b64encode(value).decode()}
        case tuple():
            return {"$tuple": [pack(each) for each in value]}
        case list():
            return [pack(each) for each in value]
        case dict():
            return {name: pack(each) for name, each in value.items()}
        case JobPlan():
            return {"$plan": pack(attrs.asdict(value))}
    return value


def unpack(value: Any) -> Any:
    """
    What L{pack} was given.
    """
    if isinstance(value, list):
        return [unpack(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$bytes": text}:
            return b64decode(text)
        case {"$tuple": values}:
            return tuple(unpack(each) for each in values)
        case {"$plan": plan}:
            said = unpack(plan)
            return JobPlan(**{**said, "errand": Errand(**said["errand"])})
    return {name: unpack(each) for name, each in value.items()}


@define(eq=False)
class Notes:
    """
    Writes the history of one process; from any thread.

    @ivar now: seconds since the beginning.
    """

    path: Path
    who: str
    now: Callable[[], float]
    _file: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o600)

    def note(self, what: str, **said: Any) -> None:
        """
        Note what this process does or sees now.
        """
        self.add(self.now(), self.who, what, said)

    def add(self, at: float, who: str, what: str, said: dict[str, Any]) -> None:
        """
        Note something of anybody, at any time.
        """
        os.write(self._file, _encode(Line(at, who, what, pack(said))) + b"\n")

    def close(self) -> None:
        """
        There is nothing more to note.
        """
        os.close(self._file)


@define(eq=False)
class Tail:
    """
    Reads what is new in a file that somebody writes.
    """

    path: Path
    _offset: int = field(default=0, init=False)

    def lines(self) -> Iterator[Line]:
        """
        The lines that were completed since the last time.
        """
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        for line in data[:end].splitlines():
            yield _decode(line)


@frozen
class _Moment:
    """
    What time it is while a history is put together.
    """

    at: list[float]

    def __call__(self) -> float:
        return self.at[0]


def files(folder: Path, prefix: str = "") -> list[Path]:
    """
    The histories in a folder, of the processes whose names begin so.
    """
    return sorted(folder.glob(f"{prefix}*{SUFFIX}"))


def merged(folder: Path) -> History:
    """
    What everybody saw, in the order in which it happened.
    """
    lines = [line for path in files(folder) for line in Tail(path).lines()]
    lines.sort(key=lambda line: line.at)
    moment = _Moment([0.0])
    history = History(moment)
    for line in lines:
        moment.at[0] = line.at
        history.add(line.who, line.what, **unpack(line.said))
    return history


def entry(line: Line, number: int = 0) -> Entry:
    """
    A line as an entry of a history.
    """
    return Entry(number, line.at, line.who, line.what, unpack(line.said))
