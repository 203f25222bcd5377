# -*- test-case-name: tests.cli.test_screen -*-
"""
What the C{jobroute} command shows: tables on a terminal, plain text in a pipe,
JSON if asked for.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TextIO

import msgspec
from attrs import define, field, frozen
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from jobroute.clock import SystemClock
from jobroute.interfaces import IClock

#: Is told how much is done, and of how much.
Progressed = Callable[[int, int | None], None]

#: Terminals that can do nothing.
_DUMB = ("dumb", "unknown")

_encode = msgspec.json.Encoder().encode

#: What a terminal would obey, but for tabs and the ends of lines.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

#: How some words look on a terminal.
STYLES = {
    "succeeded": "green",
    "ready": "green",
    "busy": "green",
    "failed": "red",
    "timed_out": "red",
    "expired": "red",
    "lost": "red",
    "refused": "red",
    "quarantined": "red",
    "ok": "green",
    "problem": "red",
    "warning": "yellow",
    "cancelled": "yellow",
    "suspect": "yellow",
    "draining": "yellow",
}


@frozen
class Column:
    """
    A column of a table.

    @ivar number: whether it stands to the right.
    @ivar wide: the terminal's width from which there is room for it; a pipe
        always has room.
    """

    title: str
    number: bool = False
    wide: int = 0


def clean(text: object) -> str:
    """
    A text with nothing in it that a terminal would obey.
    """
    said = str(text)
    if said.isprintable():
        return said
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in said
    )


def shown(frame: bytes) -> str:
    """
    A frame in one line: text as it is, anything else by its size.
    """
    try:
        return clean(frame.decode("utf-8").removesuffix("\n"))
    except UnicodeDecodeError:
        return f"<{len(frame):,} bytes>"


def escaped(frame: bytes) -> str:
    """
    A frame in one line from which it can be had back: what is no text is
    C{\\xNN}, and a line's end C{\\n}.
    """
    said = frame.decode("utf-8", "backslashreplace")
    return said.replace("\r", "\\r").replace("\n", "\\n")


def json_frame(frame: bytes) -> Any:
    """
    A frame in JSON: a text, or C{{"base64": …}} if it is none.
    """
    try:
        return frame.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": frame}


def span(seconds: float) -> str:
    """
    A duration, as people read it.
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, size, lesser, part in (("m", 60, "s", 1), ("h", 3600, "m", 60)):
        if whole < size * (60 if unit == "m" else 48):
            return f"{whole // size}{unit}{whole % size // part:02d}{lesser}"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


@define(eq=False)
class Screen:
    """
    Where the output goes, and how it looks there.

    @ivar json: whether programs read it.
    @ivar terminal: whether people see it in a terminal.
    @ivar width: of that terminal; the one that it has if L{None}.
    """

    json: bool = False
    out: TextIO = field(factory=lambda: sys.stdout)
    err: TextIO = field(factory=lambda: sys.stderr)
    terminal: bool = field(kw_only=True)
    width: int | None = field(default=None, kw_only=True)
    clock: IClock = field(factory=SystemClock, kw_only=True)
    _bar: Progress | None = field(default=None, init=False)

    @terminal.default
    def _is_terminal(self) -> bool:
        return not self.json and self.out.isatty() and os.environ.get("TERM") not in _DUMB

    @property
    def console(self) -> Console:
        """
        The terminal.
        """
        return Console(
            file=self.out, force_terminal=self.terminal, width=self.width, highlight=False
        )

    # -- Formatting ----------------------------------------------------------

    def moment(self, at: float | None) -> str:
        """
        A moment, as people read it; in a pipe all of it and without blanks.
        """
        if at is None:
            return ""
        when = datetime.fromtimestamp(at)
        if not self.terminal:
            return when.isoformat(timespec="seconds")
        today = datetime.fromtimestamp(self.clock.wall())
        if when.date() == today.date():
            return f"{when:%H:%M:%S}"
        return f"{when:%b %d %H:%M}" if when.year == today.year else f"{when:%Y-%m-%d}"

    def counts(self, counted: Mapping[Any, int]) -> str:
        """
        How many of what.
        """
        if self.terminal:
            return ", ".join(
                f"{what}" if len(counted) == 1 == number else f"{number} {what}"
                for what, number in counted.items()
            )
        return ",".join(f"{what}={number}" for what, number in counted.items())

    # -- Output --------------------------------------------------------------

    def value(self, value: Any) -> None:
        """
        One JSON value in a line.
        """
        self._write(_encode(value) + b"\n")

    def line(self, text: str = "") -> None:
        """
        One line, of which nothing is left out.
        """
        if self._bar is not None and self.terminal:
            self._bar.console.print(Text(text), soft_wrap=True)
        else:
            self._write(text.encode("utf-8", "backslashreplace") + b"\n")

    def prose(self, text: str) -> None:
        """
        A sentence: a terminal breaks it between words, a pipe nowhere.
        """
        if not self.terminal:
            self.line(text)
        else:
            console = self.console if self._bar is None else self._bar.console
            console.print(Text(clean(text)))

    def frame(self, frame: bytes, raw: bool = False) -> None:
        """
        A result.  Text ends with a newline; a pipe gets all else as it is, a
        terminal nothing that it would obey.

        @param raw: bytes as they are, wherever they go.
        """
        if not raw:
            try:
                text = frame.decode("utf-8")
            except UnicodeDecodeError:
                if self.terminal:
                    frame = f"{shown(frame)} (a pipe, or --raw, gives them)\n".encode()
            else:
                if self.terminal:
                    frame = _OBEYED.sub(lambda found: clean(found[0]), text).encode()
                if not text.endswith("\n"):
                    frame += b"\n"
        self._write(frame)

    def say(self, sentence: str) -> None:
        """
        Something for people, beside the output.
        """
        said = clean(sentence)
        if self._bar is not None:
            self._bar.console.print(Text(said))
        elif self.err.isatty():
            Console(file=self.err, width=self.width, highlight=False).print(Text(said))
        else:
            print(said, file=self.err, flush=True)

    def heading(self, text: str) -> None:
        """
        What the next table is about.
        """
        self.line()
        if self.terminal:
            self.console.print(Text(text, style="bold"))
        else:
            self.line(f"{text}:")

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
        """
        A table.  In a pipe columns are aligned, blanks are in the last one
        only, and what is empty is C{-}.
        """
        cells = [[clean(cell) for cell in row] for row in rows]
        if self.terminal:
            self._draw(columns, cells)
            return
        lines = [[column.title.upper() for column in columns]]
        for row in cells:
            lines.append([cell.replace(" ", "_") or "-" for cell in row[:-1]] + [row[-1] or "-"])
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        for line in lines:
            padded = [
                cell.rjust(width) if column.number else cell.ljust(width)
                for cell, width, column in zip(line, widths, columns, strict=True)
            ]
            self._write("  ".join(padded).rstrip().encode("utf-8", "backslashreplace") + b"\n")

    def _draw(self, columns: Sequence[Column], rows: list[list[str]]) -> None:
        console = self.console
        room = [i for i, column in enumerate(columns) if column.wide <= console.width]
        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            show_edge=False,
            header_style="bold",
        )
        for i in room:
            justify: Any = "right" if columns[i].number else "left"
            table.add_column(columns[i].title, justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(Text(row[i], style=STYLES.get(row[i], "")) for i in room))
        console.print(table)

    def pairs(self, pairs: Mapping[str, object]) -> None:
        """
        Names and what they stand for, one a line.
        """
        width = max(map(len, pairs), default=0)
        for name, value in pairs.items():
            said = clean("" if value is None else value)
            if self.terminal:
                text = Text.assemble((f"{name:{width}}", "bold"), "  ", said)
                self.console.print(text, soft_wrap=True)
            else:
                self._write(f"{name:{width}}  {said or '-'}\n".encode("utf-8", "backslashreplace"))

    def _write(self, data: bytes) -> None:
        buffer = getattr(self.out, "buffer", None)
        if buffer is None:
            self.out.write(data.decode("utf-8", "replace"))
        else:
            self.out.flush()
            buffer.write(data)
        self.out.flush()

    # -- Progress ------------------------------------------------------------

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Progressed]:
        """
        A bar on the terminal, if there is one, while many things are done.

        @return: to be told how many are done, and of how many.
        """
        count = MofNCompleteColumn() if total is not None else TextColumn("{task.completed}")
        with self._live(BarColumn(bar_width=None), count) as bar:
            task = None if bar is None else bar.add_task(what, total=total)

            def tell(done: int, total: int | None) -> None:
                if bar is not None and task is not None:
                    bar.update(task, completed=done, total=total)

            yield tell

    @contextmanager
    def waiting(self, what: str) -> Iterator[Progressed]:
        """
        A sign of life on the terminal, if there is one, while one thing is
        done.

        @return: may be told how much of it is done, and of how much.
        """
        with self._live() as bar:
            task = None if bar is None else bar.add_task(what, total=None)

            def tell(done: int, total: int | None) -> None:
                if bar is not None and task is not None and total:
                    bar.update(task, description=f"{what} {100 * done // total}%")

            yield tell

    @contextmanager
    def _live(self, *columns: ProgressColumn) -> Iterator[Progress | None]:
        if self.json or not self.err.isatty() or os.environ.get("TERM") in _DUMB:
            yield None
            return
        console = Console(file=self.err, width=self.width, highlight=False)
        description = TextColumn("{task.description}", markup=False)
        spinner = () if columns else (SpinnerColumn(),)
        with Progress(
            *spinner,
            description,
            *columns,
            TimeElapsedColumn(),
            console=console,
            transient=True,
            expand=bool(columns),
            redirect_stdout=False,
            redirect_stderr=False,
        ) as bar:
            self._bar = bar
            try:
                yield bar
            finally:
                self._bar = None
