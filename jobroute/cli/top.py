# -*- test-case-name: tests.cli.test_top -*-
"""
The command that shows what goes on: C{top}.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click
from attrs import asdict, define, evolve, field
from rich.console import Console
from rich.live import Live

from jobroute.cli import options
from jobroute.cli.dashboard import Dashboard, Moment, Waiting
from jobroute.cli.keys import Keys, pressed
from jobroute.cli.screen import Screen
from jobroute.cli.session import Session, pass_session
from jobroute.client import Client
from jobroute.errors import BrokerLost, JobrouteError, NoSuchJob
from jobroute.interfaces import IClock

#: Of so many jobs at a time the broker is asked why they wait.
_WHY = 5

#: The width of a pipe.
_PIPE = 200

#: How many jobs that wait are shown.
_MOST = 50


#: The client of a namespace.
Clients = Callable[[str], Client]


def look(clients: Clients, clock: IClock) -> Moment:
    """
    Ask the broker for everything that is shown.
    """
    client = clients("default")
    agents, stats = client.agents(), client.stats()
    waiting = [
        Waiting(head["job"], head["namespace"], name, head["submitted"])
        for name, service in stats["services"].items()
        if (head := service.get("next"))
    ]
    waiting.sort(key=lambda each: each.since)
    shown = waiting[:_MOST]
    for place, each in enumerate(shown[:_WHY]):
        try:
            why = clients(each.namespace).why(each.job)
        except NoSuchJob:
            # It has ended meanwhile, and was forgotten.
            continue
        shown[place] = evolve(each, why=why[0]["why"] if why else "")
    return Moment(clock.monotonic(), clock.wall(), agents, stats, tuple(shown))


@define(eq=False)
class Top:
    """
    What keys do.

    @ivar over: whether nobody looks any more.
    """

    clients: Clients
    dashboard: Dashboard
    over: bool = field(default=False, init=False)
    _confirmed: Callable[[], str] | None = field(default=None, init=False)

    def press(self, key: str) -> None:
        """
        A key was pressed.
        """
        confirmed, self._confirmed = self._confirmed, None
        self.dashboard.note = ""
        if confirmed is not None:
            if key in ("y", "Y"):
                self._do(confirmed)
            return
        chosen, panel = self.dashboard.chosen, self.dashboard.panel
        match key:
            case "q" | "escape":
                self.over = True
            case "tab":
                self.dashboard.turn(1)
            case "back":
                self.dashboard.turn(-1)
            case "up" | "k":
                self.dashboard.move(-1)
            case "down" | "j":
                self.dashboard.move(1)
            case "page up":
                self.dashboard.move(-10)
            case "page down":
                self.dashboard.move(10)
            case "d" if panel == "agents" and chosen is not None:
                self._do(lambda: self._drain(chosen))
            case "p" if panel == "services" and chosen is not None:
                self._do(lambda: self._pause(chosen))
            case "c" if panel == "waiting" and chosen is not None:
                self.dashboard.note = f"Cancel job {chosen}? y: yes, any other key: no"
                self._confirmed = lambda: self._cancel(chosen)
            case "d" | "p" | "c":
                what = {"d": "an agent", "p": "a service", "c": "a job that waits"}[key]
                self.dashboard.note = f"Choose {what} first: tab, ↑, ↓"

    def _do(self, what: Callable[[], str]) -> None:
        try:
            self.dashboard.note = what()
        except JobrouteError as e:
            self.dashboard.note = str(e)

    def _drain(self, name: str) -> str:
        moment = self.dashboard.moment
        if moment is not None and moment.agents.get(name, {}).get("drained"):
            self.clients("default").resume(agent=name)
            return f"Agent {name} has work again."
        held = self.clients("default").drain(name)["outstanding"]
        return f"Agent {name} is drained; it still holds {held}."

    def _pause(self, name: str) -> str:
        moment = self.dashboard.moment
        if moment is not None and moment.services.get(name, {}).get("paused"):
            self.clients("default").resume(service=name)
            return f"Service {name} goes on."
        self.clients("default").pause(name)
        return f"Service {name} is paused."

    def _cancel(self, name: str) -> str:
        moment = self.dashboard.moment
        found = [w.namespace for w in moment.waiting if w.job == name] if moment else []
        left = self.clients(found[0] if found else "default").cancel(name)
        return f"Job {name} is cancelled; {left} of its parts were not done."


def watch(
    clients: Clients, screen: Screen, interval: float, keys: Keys, live: Live, console: Console
) -> None:
    """
    Show what goes on until somebody presses C{q}.
    """
    dashboard = Dashboard()
    top = Top(clients, dashboard)
    due = screen.clock.monotonic()
    while not top.over:
        now = screen.clock.monotonic()
        if now >= due:
            try:
                dashboard.show(look(clients, screen.clock))
            except BrokerLost as e:
                dashboard.note = str(e)
            due = screen.clock.monotonic() + interval
        live.update(dashboard.draw(console.width, console.height), refresh=True)
        key = keys.read(due - screen.clock.monotonic())
        if key is not None:
            top.press(key)
            # What was done is seen at once.
            due = min(due, screen.clock.monotonic() + 0.1)


@contextmanager
def _clients(session: Session) -> Iterator[Clients]:
    """
    Clients, made when they are needed.
    """
    made: dict[str, Client] = {}
    with ExitStack() as stack:

        def client(namespace: str) -> Client:
            if namespace not in made:
                made[namespace] = stack.enter_context(session.client(namespace))
            return made[namespace]

        yield client


@contextmanager
def _stage(screen: Screen) -> Iterator[tuple[Keys, Live, Console]]:
    console = screen.console
    with (
        pressed(sys.stdin.fileno()) as keys,
        Live(console=console, screen=True, auto_refresh=False, transient=True) as live,
    ):
        yield keys, live, console


def _value(moment: Moment) -> dict[str, Any]:
    return {
        "at": moment.wall,
        "agents": moment.agents,
        **moment.stats,
        "waiting": [asdict(waiting) for waiting in moment.waiting],
    }


@click.command()
@click.option(
    "--interval",
    callback=options.duration,
    default="1s",
    metavar="TIME",
    help="How often to look; each second if not given.",
)
@click.option("--once", is_flag=True, help="Look once, show it, and end; so it is in a pipe.")
@pass_session
def top(session: Session, /, interval: float, once: bool) -> None:
    """
    Watch agents, services, queues and rates, and what has waited longest and why.

    Keys: arrows choose, tab goes to the next list, d drains an agent or lets it go on, p pauses a
    service or lets it go on, c cancels a job, q quits.
    """
    screen = session.screen
    with _clients(session) as clients:
        if screen.json:
            screen.value(_value(look(clients, screen.clock)))
        elif once or not screen.terminal or not sys.stdin.isatty():
            dashboard = Dashboard(look(clients, screen.clock))
            dashboard.note = " "
            console = screen.console
            if not screen.terminal:
                # A pipe has room for everything.
                console.width = _PIPE
            console.print(dashboard.draw(console.width, 10_000))
        else:
            with _stage(screen) as (keys, live, console):
                watch(clients, screen, interval, keys, live, console)
