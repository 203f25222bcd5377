# -*- test-case-name: tests.cli.test_again -*-
"""
The commands that submit again what has ended: C{retry} and C{quarantine}.
"""

from __future__ import annotations

from typing import Any

import attrs
import click

from jobroute.cli import completion, options
from jobroute.cli.screen import Column
from jobroute.cli.session import Session, pass_session
from jobroute.client import Submitted

__all__ = ["quarantine", "retry"]

#: The broker gives no more in one answer.
_PAGE = 1000

_JOB = click.argument("job", metavar="JOB", callback=options.name, shell_complete=completion.jobs)
_NEW = click.option(
    "--as", "new", callback=options.name, metavar="NAME", help="The new job's id; else random."
)


def _show(session: Session, done: Submitted) -> None:
    if session.screen.json:
        session.screen.value(attrs.asdict(done))
    else:
        session.screen.line(done.job)


@click.command()
@_JOB
@_NEW
@click.option("--all", "everything", is_flag=True, help="Also the parts that succeeded.")
@click.option("--force", is_flag=True, help="Also what is quarantined.")
@options.namespace_option
@pass_session
def retry(
    session: Session,
    /,
    job: str,
    new: str | None,
    everything: bool,
    force: bool,
    namespace: str,
) -> None:
    """
    Submit a job that has ended again, and print the new one's id.

    Those of its parts that did not succeed are done again, with the same payload and limits.
    """
    with session.client(namespace) as client:
        done = client.retry(job, new=new, everything=everything, force=force)
    _show(session, done)


@click.group(invoke_without_command=True)
@click.pass_context
def quarantine(ctx: click.Context) -> None:
    """
    Jobs that cost too many agents their lives.

    Without a command: list them.
    """
    if ctx.invoked_subcommand is None:
        with list_parts.make_context("list", [], parent=ctx) as listing:
            list_parts.invoke(listing)


@quarantine.command("list")
@click.option("--service", callback=options.name, metavar="NAME", help="Only of this service.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    metavar="N",
    help="So many at most; 100 if not given.",
)
@click.option("--before", type=int, metavar="N", help="Those before part number N.")
@options.namespace_option
@pass_session
def list_parts(
    session: Session, /, service: str | None, limit: int, before: int | None, namespace: str
) -> None:
    """
    List what is quarantined, the newest first.
    """
    screen = session.screen
    found: list[dict[str, Any]] = []
    following = before
    with session.client(namespace) as client:
        while len(found) < limit:
            page = client.quarantine(
                service=service, limit=min(limit - len(found), _PAGE), before=following
            )
            found += page["parts"]
            following = page["next"]
            if following is None:
                break
    if screen.json:
        screen.value({"parts": found, "next": following})
        return
    columns = [
        Column("job"),
        Column("part", number=True),
        Column("service"),
        Column("ended", wide=100),
        Column("losses", number=True),
        Column("agents"),
        Column("last output", wide=120),
    ]
    rows = []
    for part in found:
        evidence = part["evidence"]
        output = evidence[-1]["output"] if evidence else None
        rows.append(
            (
                part["job"],
                part["index"],
                part["service"],
                screen.moment(part["ended"]),
                part["losses"],
                ", ".join(loss["agent"] for loss in evidence),
                output or "",
            )
        )
    screen.table(columns, rows)
    if screen.terminal and following is not None:
        screen.say(f"For those before: --before {following}")


@quarantine.command("retry")
@_JOB
@_NEW
@options.namespace_option
@pass_session
def retry_parts(session: Session, /, job: str, new: str | None, namespace: str) -> None:
    """
    Submit what is quarantined of a job again, and print the new one's id.

    How many agents it cost counts from 0.
    """
    with session.client(namespace) as client:
        done = client.quarantine_retry(job, new=new)
    _show(session, done)


@quarantine.command("drop")
@_JOB
@click.option("--index", type=click.IntRange(0), metavar="N", help="One part only, from 0.")
@options.namespace_option
@pass_session
def drop(session: Session, /, job: str, index: int | None, namespace: str) -> None:
    """
    Take a job out of the list; its history stays.
    """
    with session.client(namespace) as client:
        dropped = client.quarantine_drop(job, index)
    screen = session.screen
    if screen.json:
        screen.value({"job": job, "dropped": dropped})
    else:
        screen.line("1 part dropped." if dropped == 1 else f"{dropped} parts dropped.")
