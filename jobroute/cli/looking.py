# -*- test-case-name: tests.cli.test_looking -*-
"""
The commands that look at what there is: C{ping}, C{agents}, C{jobs}, C{job},
C{why} and C{stats}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import click

from jobroute.cli import completion
from jobroute.cli.options import name as a_name
from jobroute.cli.options import namespace_option
from jobroute.cli.screen import Column, Screen, span
from jobroute.cli.session import Session, pass_session
from jobroute.client import JobLine, Page
from jobroute.model import Verdict

__all__ = ["agents", "job", "jobs", "ping", "stats", "why"]

#: The broker gives no more in one answer.
_PAGE = 1000


@click.command()
@pass_session
def ping(session: Session) -> None:
    """
    Say whether the broker lives, and where its sockets are.
    """
    with session.client() as client:
        said = client.ping(agents=False)
    screen = session.screen
    if screen.json:
        screen.value(said)
        return
    endpoints = said.pop("endpoints", {})
    if "started" in said:
        said["started"] = screen.moment(said["started"])
    screen.pairs({**said, **endpoints})


@click.command()
@pass_session
def agents(session: Session) -> None:
    """
    List the agents that the broker knows.
    """
    with session.client() as client:
        found = client.agents()
    screen = session.screen
    if screen.json:
        screen.value(found)
        return
    if not found and screen.terminal:
        screen.say(
            "There is no agent; start one with: jobroute agent --service NAME=MODULE:CALLABLE"
        )
        return
    columns = [
        Column("agent"),
        Column("number", number=True, wide=90),
        Column("state"),
        Column("slots", number=True),
        Column("holds", number=True),
        Column("load", number=True, wide=60),
        Column("silent", number=True, wide=90),
        Column("pid", number=True, wide=70),
        Column("host", wide=90),
        Column("labels", wide=110),
        Column("services"),
    ]
    rows = [
        (
            name,
            a["number"],
            a["state"],
            a["slots"],
            a["outstanding"],
            f"{a['load']:.2f}",
            span(max(a["silent"], 0.0)),
            a["pid"],
            a["hostname"],
            _list(screen, [f"{k}={v}" for k, v in a["labels"].items()]),
            _list(screen, a["services"]),
        )
        for name, a in sorted(found.items())
    ]
    screen.table(columns, rows)


def _list(screen: Screen, items: list[str]) -> str:
    return (", " if screen.terminal else ",").join(items)


@click.command()
@click.option(
    "--service",
    callback=a_name,
    shell_complete=completion.services,
    metavar="NAME",
    help="Only of this service.",
)
@click.option("--client", callback=a_name, metavar="NAME", help="Only of this client.")
@click.option("--state", type=click.Choice(["open", "ended"]), help="Only these.")
@click.option(
    "--verdict", type=click.Choice([v.value for v in Verdict]), help="With a part of this verdict."
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    metavar="N",
    help="So many at most; 100 if not given.",
)
@click.option("--before", type=int, metavar="N", help="Those before job number N.")
@namespace_option
@pass_session
def jobs(
    session: Session,
    /,
    service: str | None,
    client: str | None,
    state: str | None,
    verdict: str | None,
    limit: int,
    before: int | None,
    namespace: str,
) -> None:
    """
    List jobs, the newest first.
    """
    screen = session.screen
    lines: list[JobLine] = []
    page = Page((), before)
    with session.client(namespace) as asking:
        while len(lines) < limit and (page.next is not None or not lines):
            page = asking.jobs(
                service=service,
                client=client,
                state=state,
                verdict=verdict,
                limit=min(limit - len(lines), _PAGE),
                before=page.next,
            )
            lines += page.jobs
            if page.next is None:
                break
    if screen.json:
        screen.value({"jobs": [attrs.asdict(line) for line in lines], "next": page.next})
        return
    columns = [
        Column("job"),
        Column("number", number=True, wide=100),
        Column("service"),
        Column("client", wide=140),
        Column("submitted"),
        Column("ended", wide=120),
        Column("took", number=True, wide=60),
        Column("parts", number=True, wide=100),
        Column("state", wide=100),
        Column("verdicts"),
    ]
    rows = [
        (
            line.job,
            line.number,
            line.service,
            line.client,
            screen.moment(line.submitted),
            screen.moment(line.ended),
            "" if line.ended is None else span(max(line.ended - line.submitted, 0.0)),
            line.parts,
            line.state,
            screen.counts({v.value: n for v, n in line.verdicts.items()}),
        )
        for line in lines
    ]
    screen.table(columns, rows)
    if screen.terminal and page.next is not None:
        screen.say(f"For those before: --before {page.next}")


@click.command()
@click.argument("job", metavar="JOB", callback=a_name, shell_complete=completion.jobs)
@namespace_option
@pass_session
def job(session: Session, /, job: str, namespace: str) -> None:
    """
    Tell everything about a job, with its history.
    """
    with session.client(namespace) as client:
        said = client.job(job)
    screen = session.screen
    if screen.json:
        screen.value(said)
        return
    parts, events = said.pop("parts", []), said.pop("events", [])
    for key in ("submitted", "ended", "deadline"):
        said[key] = screen.moment(said.get(key))
    for key in ("queue_limit", "run_limit"):
        said[key] = "" if said.get(key) is None else span(said[key])
    screen.pairs({key: _said(value) for key, value in said.items() if value not in (None, "")})
    screen.heading("Parts")
    columns = [
        Column("part", number=True),
        Column("state"),
        Column("verdict"),
        Column("agent"),
        Column("attempts", number=True),
        Column("ended", wide=60),
        Column("reason"),
    ]
    screen.table(
        columns,
        [
            (
                p["index"],
                p["state"],
                p["verdict"] or "",
                p["agent"] or "",
                p["attempts"],
                screen.moment(p["ended"]),
                p["reason"] or "",
            )
            for p in parts
        ],
    )
    screen.heading("History")
    columns = [
        Column("event", number=True, wide=60),
        Column("at"),
        Column("kind"),
        Column("part", number=True),
        Column("attempt", number=True),
        Column("agent"),
        Column("details"),
    ]
    screen.table(columns, [_event(screen, event) for event in events])


def _event(screen: Screen, event: dict[str, Any]) -> tuple[object, ...]:
    known = ("event", "at", "kind", "index", "attempt", "agent")
    rest = {key: value for key, value in event.items() if key not in known}
    return (
        event["event"],
        screen.moment(event["at"]),
        event["kind"],
        event.get("index", ""),
        event.get("attempt", ""),
        event.get("agent", ""),
        ", ".join(f"{key}: {_said(value)}" for key, value in rest.items()),
    )


def _said(value: Any) -> str:
    """
    A JSON value, as people read it.
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return "" if value is None else str(value)


@click.command()
@click.argument("job", metavar="JOB", callback=a_name, shell_complete=completion.jobs)
@namespace_option
@pass_session
def why(session: Session, /, job: str, namespace: str) -> None:
    """
    Say what a job is waiting for.
    """
    with session.client(namespace) as client:
        found = client.why(job)
    screen = session.screen
    if screen.json:
        screen.value({"job": job, "parts": found})
        return
    if not found and screen.terminal:
        screen.line(f"Job {job} is not waiting for anything: it is done.")
        return
    columns = [Column("part", number=True), Column("state"), Column("code"), Column("why")]
    screen.table(columns, [(p["index"], p["state"], p["code"], p["why"]) for p in found])


@click.command()
@pass_session
def stats(session: Session) -> None:
    """
    Tell every counter of the broker, its queues, and what is stored.
    """
    with session.client() as client:
        said = client.stats()
    screen = session.screen
    if screen.json:
        screen.value(said)
        return
    services = said.pop("services", {})
    flat: dict[str, object] = {}
    for group, members in said.items():
        for key, value in members.items() if isinstance(members, Mapping) else ():
            flat[f"{group}.{key}"] = value
    if not screen.terminal:
        for service, members in services.items():
            for key, value in members.items():
                flat[f"services.{service}.{key}"] = value
        screen.pairs(flat)
        return
    for group, members in said.items():
        screen.line(group)
        screen.pairs({f"  {key}": f"{value:>12,}" for key, value in members.items()})
    columns = [Column("service"), Column("queued", number=True), Column("agents", number=True)]
    screen.heading("services")
    screen.table(columns, [(n, s["queued"], s["agents"]) for n, s in sorted(services.items())])
