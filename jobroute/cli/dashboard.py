# -*- test-case-name: tests.cli.test_dashboard -*-
"""
What C{top} shows of one moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobroute.cli.screen import STYLES, clean, span

#: What can be looked through, in this order.
PANELS = ("services", "agents", "waiting")

#: Lines that are always there: the head, the keys, and of each panel its titles.
_FIXED = 10

#: The least that a panel has, in lines.
_LEAST = 3

#: From this width on there is room for what is nice to know.
_WIDE = 120

_KEYS = "↑↓ choose  tab next list  d drain agent  p pause service  c cancel job  q quit"


@frozen
class Waiting:
    """
    A job that waits, and why.
    """

    job: str
    namespace: str
    service: str
    since: float
    why: str = ""


@frozen
class Moment:
    """
    What the broker said.

    @ivar at: when, on the monotonic clock.
    @ivar wall: when, in seconds since 1970.
    @ivar agents: as of C{LIST}.
    @ivar stats: as of C{STATS}.
    @ivar waiting: those that have waited longest, the first of each service.
    """

    at: float
    wall: float
    agents: Mapping[str, dict[str, Any]]
    stats: Mapping[str, Any]
    waiting: Sequence[Waiting] = ()

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """
        The services by name.
        """
        return dict(sorted(self.stats["services"].items()))

    @property
    def ended(self) -> int:
        """
        How many parts have had their verdict in this epoch.
        """
        counters: Mapping[str, int] = self.stats["counters"]
        return sum(n for name, n in counters.items() if name.startswith("verdicts_"))


@define(eq=False)
class Dashboard:
    """
    The moments, and what is chosen.

    @ivar note: what was done last, or is asked.
    """

    moment: Moment | None = None
    before: Moment | None = None
    note: str = ""
    _panel: int = field(default=1, init=False)
    _chosen: dict[str, str] = field(factory=dict, init=False)

    def show(self, moment: Moment) -> None:
        """
        Time has passed.
        """
        if (
            self.moment is not None
            and moment.stats["gauges"]["epoch"] != (self.moment.stats["gauges"]["epoch"])
        ):
            # Its counters began anew.
            self.moment = None
        self.before, self.moment = self.moment, moment

    # -- What is chosen ------------------------------------------------------

    @property
    def panel(self) -> str:
        """
        The list that is looked through.
        """
        return PANELS[self._panel]

    @property
    def chosen(self) -> str | None:
        """
        The name in it that is chosen; the first if the one that was is gone.
        """
        names = self._names(self.panel)
        name = self._chosen.get(self.panel)
        return name if name in names else (names[0] if names else None)

    def turn(self, steps: int) -> None:
        """
        Look through another list.
        """
        self._panel = (self._panel + steps) % len(PANELS)

    def move(self, steps: int) -> None:
        """
        Choose another name.
        """
        names, chosen = self._names(self.panel), self.chosen
        if chosen is not None:
            place = min(max(names.index(chosen) + steps, 0), len(names) - 1)
            self._chosen[self.panel] = names[place]

    def _names(self, panel: str) -> list[str]:
        if self.moment is None:
            return []
        if panel == "waiting":
            return [waiting.job for waiting in self.moment.waiting]
        return list(self.moment.services) if panel == "services" else sorted(self.moment.agents)

    # -- How it looks --------------------------------------------------------

    def draw(self, width: int, height: int) -> RenderableType:
        """
        All of it, in so many columns and lines.
        """
        if self.moment is None:
            return Text("Looking for the broker …")
        room = max(height - _FIXED, len(PANELS) * _LEAST)
        sizes = self._sizes(room)
        tables = (self._services(width), self._agents(width), self._waiting(width))
        parts: list[RenderableType] = [self._head(width)]
        for panel, (table, rows) in zip(PANELS, tables, strict=True):
            for row in self._seen(panel, rows, sizes[panel]):
                style = "reverse" if panel == self.panel and row[0] == self.chosen else ""
                table.add_row(*row[1:], style=style)
            parts += [Text(""), table]
        note = Text(clean(self.note), style="yellow") if self.note else Text(_KEYS, style="dim")
        note.truncate(width, overflow="ellipsis")
        return Group(*parts, Text(""), note)

    def _sizes(self, room: int) -> dict[str, int]:
        """
        How many rows each list has; what one does not need the others have.
        """
        wanted = {panel: len(self._names(panel)) for panel in PANELS}
        sizes = {panel: min(wanted[panel], _LEAST) for panel in PANELS}
        room -= sum(sizes.values())
        while room > 0 and (short := [p for p in PANELS if sizes[p] < wanted[p]]):
            for panel in short[:room]:
                sizes[panel] += 1
            room -= len(short[:room])
        return sizes

    def _seen(self, panel: str, rows: list[tuple[Any, ...]], size: int) -> list[tuple[Any, ...]]:
        """
        The rows for which there is room, the chosen one among them.
        """
        names = [row[0] for row in rows]
        chosen = self._chosen.get(panel)
        place = names.index(chosen) if chosen in names else 0
        first = min(max(place - size // 2, 0), max(len(rows) - size, 0))
        return rows[first : first + size]

    def _rate(self, count: int, before: int | None) -> str:
        assert self.moment is not None
        if before is None or self.before is None or self.moment.at <= self.before.at:
            return "–"
        rate = (count - before) / (self.moment.at - self.before.at)
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:,.1f}/s"

    def _head(self, width: int) -> RenderableType:
        moment, before = self.moment, self.before
        assert moment is not None
        gauges, counters = moment.stats["gauges"], moment.stats["counters"]
        old = None if before is None else before.stats["counters"]
        accepted = counters["jobs_accepted"]
        slots = sum(agent["slots"] for agent in moment.agents.values())
        said = [
            ("epoch", f"{gauges['epoch']}"),
            ("agents", f"{gauges['agents']:,}"),
            ("running", f"{gauges['running']:,} of {slots:,}"),
            ("queued", f"{gauges['queued'] + gauges.get('waiting', 0):,}"),
            ("in", self._rate(accepted, None if old is None else old["jobs_accepted"])),
            ("out", self._rate(moment.ended, None if before is None else before.ended)),
        ]
        if width >= _WIDE:
            lost = sum(counters.get(f"verdicts_{v}", 0) for v in ("failed", "lost", "timed_out"))
            said += [
                ("done", f"{moment.ended:,}"),
                ("of them badly", f"{lost:,}"),
                ("clients", f"{gauges['clients']:,}"),
                ("stored jobs", f"{moment.stats['storage']['jobs']:,}"),
            ]
        text = Text("jobroute", style="bold")
        for name, value in said:
            text.append(f"  {name} ", style="not bold dim").append(value, style="not dim bold")
        text.truncate(width, overflow="ellipsis")
        return text

    def _table(self, panel: str, width: int, *columns: tuple[str, str]) -> Table:
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", width=width
        )
        first = True
        for title, justify in columns:
            style = "bold underline" if first and panel == self.panel else "bold"
            side: Any = justify
            table.add_column(
                Text(title, style=style),
                justify=side,
                no_wrap=True,
                overflow="ellipsis",
                ratio=1 if title in ("why", "services", "state of it") else None,
            )
            first = False
        return table

    def _services(self, width: int) -> tuple[Table, list[tuple[Any, ...]]]:
        assert self.moment is not None
        table = self._table(
            "services",
            width,
            ("service", "left"),
            ("queued", "right"),
            ("waiting", "right"),
            ("agents", "right"),
            ("oldest", "right"),
            ("state of it", "left"),
        )
        rows = []
        for name, service in self.moment.services.items():
            head = service.get("next")
            age = "" if not head else span(max(self.moment.wall - head["submitted"], 0.0))
            paused = Text("paused", style="yellow") if service.get("paused") else Text("")
            if not service["agents"] and not service.get("paused"):
                paused = Text("nobody offers it", style="red")
            queued, waiting = f"{service['queued']:,}", f"{service.get('waiting', 0):,}"
            rows.append((name, clean(name), queued, waiting, f"{service['agents']:,}", age, paused))
        return table, rows

    def _agents(self, width: int) -> tuple[Table, list[tuple[Any, ...]]]:
        assert self.moment is not None
        wide = width >= _WIDE
        columns = [("agent", "left"), ("state", "left"), ("load", "left"), ("silent", "right")]
        if wide:
            columns += [("host", "left"), ("pid", "right"), ("labels", "left")]
        table = self._table("agents", width, *columns, ("services", "left"))
        rows = []
        for name, agent in sorted(self.moment.agents.items()):
            state = agent["state"]
            if agent.get("drained") and not agent["outstanding"]:
                state = "drained"
            more = []
            if wide:
                labels = ", ".join(f"{k}={v}" for k, v in agent["labels"].items())
                more = [clean(agent["hostname"]), str(agent["pid"]), clean(labels)]
            rows.append(
                (
                    name,
                    clean(name),
                    Text(state, style=STYLES.get(agent["state"], "")),
                    _bar(agent["outstanding"], agent["slots"], 20 if wide else 8),
                    span(max(agent["silent"], 0.0)),
                    *more,
                    clean(", ".join(agent["services"])),
                )
            )
        return table, rows

    def _waiting(self, width: int) -> tuple[Table, list[tuple[Any, ...]]]:
        assert self.moment is not None
        table = self._table(
            "waiting",
            width,
            ("waits longest", "left"),
            ("service", "left"),
            ("for", "right"),
            ("why", "left"),
        )
        rows = [
            (
                waiting.job,
                clean(waiting.job),
                clean(waiting.service),
                span(max(self.moment.wall - waiting.since, 0.0)),
                clean(waiting.why),
            )
            for waiting in self.moment.waiting
        ]
        return table, rows


def _bar(held: int, slots: int, width: int) -> Text:
    """
    How much of its slots an agent holds.
    """
    full = min(width, -(-held * width // max(slots, 1)))
    style = "red" if held > slots else "green"
    bar = Text("█" * full, style=style).append("░" * (width - full), style="dim")
    return bar.append(f" {held}/{slots}")
