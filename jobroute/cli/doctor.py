# -*- test-case-name: tests.cli.test_doctor -*-
"""
The command that says what is wrong: C{doctor}.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import attrs
import click

from jobroute import __version__
from jobroute.cli import checkup
from jobroute.cli.checkup import Finding, State
from jobroute.cli.screen import Column, span
from jobroute.cli.session import Session, pass_session
from jobroute.config import default_data_dir
from jobroute.errors import BrokerLost, JobrouteError

#: There is a problem.
PROBLEM = 1


def broker(session: Session) -> Iterator[Finding]:
    """
    Whether there is a broker, and how it is.
    """
    clock = session.screen.clock
    try:
        with session.connect(session.url, timeout=session.patience) as client:
            client.ping(agents=False)
            began = clock.monotonic()
            said = client.ping(agents=False)
            took = clock.monotonic() - began
            agents = client.agents()
    except BrokerLost:
        advice = f"If there should be one: {session.starter}"
        yield Finding("broker", State.WARNING, f"none answers at {session.url}", advice)
        return
    except JobrouteError as e:
        yield Finding("broker", State.PROBLEM, str(e), "")
        return
    found = f"epoch {said['epoch']}, answers in {span(took)}"
    if said.get("version", __version__) == __version__:
        yield Finding("broker", State.OK, found)
    else:
        advice = "Install the same version everywhere when there is time."
        found = f"version {said['version']}, {found}"
        yield Finding("broker", State.WARNING, found, advice)
    yield from _agents(agents)


def _agents(agents: dict[str, dict[str, object]]) -> Iterator[Finding]:
    if not agents:
        advice = "jobroute agent --service NAME=MODULE:CALLABLE"
        yield Finding("agents", State.WARNING, "there is none", advice)
        return
    silent = sorted(name for name, agent in agents.items() if agent["state"] in ("suspect", "lost"))
    if silent:
        names = ", ".join(silent[:5]) + (" …" if len(silent) > 5 else "")
        advice = "Look whether they live; they get no work."
        found = f"{len(silent)} of {len(agents)} are not heard: {names}"
        yield Finding("agents", State.WARNING, found, advice)
    else:
        yield Finding("agents", State.OK, f"{len(agents)}, all are heard")


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    metavar="PATH",
    help="Where the broker's files are, or are to be; the default one if not given.",
)
@pass_session
def doctor(session: Session, /, data_dir: str | None) -> None:
    """
    Look for what may be wrong here, and say what to do about it.

    Looks at versions, the data directory, sockets, the disk, the clock, limits, and the broker if
    there is one. Exit status: 0 if there is no problem, else 1.
    """
    screen, path = session.screen, os.path.abspath(data_dir or default_data_dir())
    findings: list[Finding] = []
    with screen.waiting("Looking"):
        findings += checkup.versions()
        findings += checkup.directory(path)
        findings += checkup.sockets(path)
        findings += checkup.disk(path, screen.clock)
        findings += checkup.files()
        findings += checkup.clocks()
        findings += broker(session)
    problems = sum(finding.state is State.PROBLEM for finding in findings)
    if screen.json:
        screen.value({"findings": [attrs.asdict(f) for f in findings], "problems": problems})
    else:
        columns = [Column("check"), Column("state"), Column("found"), Column("what to do")]
        screen.table(columns, [(f.check, f.state.value, f.found, f.advice) for f in findings])
    click.get_current_context().exit(PROBLEM if problems else 0)
