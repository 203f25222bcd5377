# -*- test-case-name: tests.cli.test_operating -*-
"""
The commands that stop agents and services, and let them go on: C{drain},
C{pause} and C{resume}.
"""

from __future__ import annotations

from time import sleep
from typing import Any

import click

from jobroute.cli import completion, options
from jobroute.cli.screen import Screen
from jobroute.cli.session import Session, pass_session
from jobroute.client import Client

#: Seconds between two looks at an agent that is to have nothing more.
_LOOK = 0.5


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count} parts"


def _show(screen: Screen, said: dict[str, Any], sentence: str) -> None:
    if screen.json:
        screen.value(said)
    else:
        screen.line(sentence)


def _holds(client: Client, agent: str) -> int:
    found: int = client.agents().get(agent, {}).get("outstanding", 0)
    return found


@click.command()
@click.argument("agent", metavar="AGENT", callback=options.name, shell_complete=completion.agents)
@click.option("--wait", is_flag=True, help="Wait until it has finished what it has.")
@click.option(
    "--timeout",
    callback=options.duration,
    metavar="TIME",
    help="How long to wait at most; as long as it takes if not given.",
)
@pass_session
def drain(session: Session, /, agent: str, wait: bool, timeout: float | None) -> None:
    """
    Give an agent nothing more; it finishes what it has.

    So is every later incarnation of it, until jobroute resume. With --wait its machine can be
    taken away when this returns; exit status 1 if --timeout is over before.
    """
    screen = session.screen
    with session.client() as client:
        said = client.drain(agent)
        held: int = said["outstanding"]
        if wait:
            held = _until_idle(screen, client, agent, held, timeout)
    _show(
        screen,
        {**said, "outstanding": held},
        f"Agent {agent} is drained; "
        + (f"it still holds {_parts(held)}." if held else "it holds nothing."),
    )
    click.get_current_context().exit(1 if wait and held else 0)


def _until_idle(
    screen: Screen, client: Client, agent: str, held: int, timeout: float | None
) -> int:
    began, most = screen.clock.monotonic(), held
    with screen.progress(f"{agent} finishes", most) as bar:
        while held and (timeout is None or screen.clock.monotonic() - began < timeout):
            sleep(_LOOK)
            held = _holds(client, agent)
            bar(most - held, most)
    return held


@click.command()
@click.argument(
    "service", metavar="SERVICE", callback=options.name, shell_complete=completion.services
)
@pass_session
def pause(session: Session, /, service: str) -> None:
    """
    Give out nothing of a service; what runs goes on, what is handed in waits.
    """
    with session.client() as client:
        said = client.pause(service)
    waiting = _parts(said["queued"])
    _show(session.screen, said, f"Service {service} is paused; {waiting} in its queue.")


@click.command()
@click.argument(
    "service",
    metavar="[SERVICE]",
    required=False,
    callback=options.name,
    shell_complete=completion.services,
)
@click.option(
    "--agent",
    callback=options.name,
    shell_complete=completion.agents,
    metavar="NAME",
    help="Let this agent have work again.",
)
@pass_session
def resume(session: Session, /, service: str | None, agent: str | None) -> None:
    """
    Let a service that was paused, or an agent that was drained, go on.
    """
    if (service is None) == (agent is None):
        raise click.UsageError("Name a SERVICE, or an agent with --agent.")
    with session.client() as client:
        said = client.resume(agent=agent, service=service)
    goes = f"Service {service} goes on." if agent is None else f"Agent {agent} has work again."
    _show(session.screen, said, goes)
