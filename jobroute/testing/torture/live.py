# -*- test-case-name: tests.torture.test_live -*-
"""
What is to be seen while a torture goes on.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence

from attrs import define, field
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jobroute.cli.screen import Screen, span
from jobroute.testing.torture.actors import Actor
from jobroute.testing.torture.tally import Tally

#: Seconds between two looks of a terminal, and between two lines of a pipe.
FRAME = 0.25
LINE = 10.0

#: Over so many seconds the rate is counted.
WINDOW = 10.0

#: So many of the latest acts are shown.
ACTS = 5

_STYLES = {"up": "green", "dead": "red", "frozen": "cyan", "starting": "yellow"}


@define(eq=False)
class Show:
    """
    A table on a terminal, a line now and then in a pipe, nothing for
    programs.

    @ivar phase: what goes on.
    @ivar acts: what was done last.
    """

    _screen: Screen
    _tally: Tally
    _actors: Sequence[Actor]
    phase: str = field(default="starting", init=False)
    until: float = field(default=0.0, init=False)
    acts: deque[str] = field(factory=lambda: deque(maxlen=ACTS), init=False)
    _live: Live | None = field(default=None, init=False)
    _next: float = field(default=0.0, init=False)
    _latest: deque[tuple[float, int]] = field(factory=deque, init=False)

    def begin(self) -> None:
        """
        Take the terminal, if there is one.
        """
        if self._screen.terminal and not os.environ.get("NO_COLOR"):
            console: Console = self._screen.console
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()

    def end(self) -> None:
        """
        Give it back.
        """
        if self._live is not None:
            self._live.stop()
            self._live = None

    def acted(self, at: float, text: str) -> None:
        """
        Something was done.
        """
        self.acts.append(f"{span(at):>7}  {text}")

    def look(self, at: float) -> None:
        """
        Show how it is, if it is time.
        """
        if at < self._next or self._screen.json:
            return
        self._next = at + (LINE if self._live is None else FRAME)
        self._latest.append((at, self._tally.accepted))
        while self._latest[0][0] < at - WINDOW:
            self._latest.popleft()
        if self._live is None:
            self._screen.line(self.line(at))
        else:
            self._live.update(self._table(at), refresh=True)

    @property
    def rate(self) -> float:
        """
        How many jobs were accepted in a second, lately.
        """
        (since, before), (at, now) = self._latest[0], self._latest[-1]
        return (now - before) / (at - since) if at > since else 0.0

    def line(self, at: float) -> str:
        """
        All of it in a line.
        """
        tally = self._tally
        verdicts = ", ".join(f"{n:,} {name}" for name, n in tally.verdicts.most_common())
        lives = sum(actor.life for actor in self._actors)
        up = sum(actor.state == "up" for actor in self._actors)
        return (
            f"{span(at)} {self.phase}: {tally.accepted:,} jobs accepted, {tally.open:,} open; "
            f"parts: {verdicts or 'none'}; {up} of {len(self._actors)} processes up in their "
            f"{lives} lives."
        )

    def _table(self, at: float) -> Group:
        tally = self._tally
        head = Text.assemble(
            (self.phase, "bold"),
            f"  {span(at)} gone, {span(max(0.0, self.until - at))} left\n",
            f"jobs  {tally.accepted:,} accepted, {tally.open:,} open, {self.rate:.1f} a second\n",
            f"asked {tally.questions:,} times, {tally.answers:,} answers\n",
            "parts "
            + (", ".join(f"{n:,} {v}" for v, n in tally.verdicts.most_common()) or "none yet"),
        )
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("process", "state", "pid", "lives", "killed", "stopped", "ended"):
            table.add_column(column, justify="left" if column in ("process", "state") else "right")
        for actor in self._actors:
            state = actor.state
            table.add_row(
                actor.name,
                Text(state, style=_STYLES.get(state, "")),
                "" if actor.pid is None else str(actor.pid),
                str(actor.life),
                *(str(actor.kills.get(n, 0)) for n in ("SIGKILL", "SIGSTOP", "SIGTERM")),
            )
        return Group(head, Text(), table, Text(), Text("\n".join(self.acts)))
