# -*- test-case-name: tests.cli.test_processes -*-
"""
The commands that stay: C{broker} and C{agent}.
"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource
from twisted.python.reflect import namedAny

from jobroute.cli import options
from jobroute.cli.session import Session, pass_session
from jobroute.config import LOG_LEVELS

#: Named and not imported: who only asks something need not load a broker or an agent.
_BROKER = "jobroute.cli.broker.run"
_AGENT = "jobroute.agent.command.run"


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS]")
@click.pass_context
def broker(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """
    Be a broker, in the foreground, until a signal comes.

    The options are those of twistd jobroute: jobroute broker --help.
    """
    assert ctx.parent is not None
    if ctx.parent.get_parameter_source("broker") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--broker is for those who look for one; use --frontend or --tcp.")
    run: Any = namedAny(_BROKER)
    ctx.exit(run(arguments))


@click.command()
@click.option("--name", callback=options.name, metavar="NAME", help="Lasts over restarts.")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME=MODULE:CALLABLE",
    help="A service that it offers; as often as there are services.",
)
@click.option("--slots", type=click.IntRange(1), metavar="N", help="So many parts at a time.")
@click.option(
    "--prefetch", type=click.IntRange(0), default=0, metavar="N", help="So many parts in advance."
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    metavar="N",
    help="Run functions in so many processes, not in threads.",
)
@click.option(
    "--memory-limit",
    callback=options.size,
    metavar="SIZE",
    help="So much memory each process may have, as 512MiB.",
)
@click.option(
    "--tasks-per-child",
    type=click.IntRange(1),
    metavar="N",
    help="Replace each process after so many parts.",
)
@click.option(
    "--grace",
    callback=options.duration,
    default="5s",
    metavar="TIME",
    help="How long a process or program has to end before it is killed; 5s if not given.",
)
@click.option(
    "--allow-command",
    is_flag=True,
    help="Offer the service command: run any program that a job names.",
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="To tell agents apart.")
@click.option(
    "--drain",
    callback=options.duration,
    default="10s",
    metavar="TIME",
    help="How long a stop waits for what is under way; 10s if not given.",
)
@click.option(
    "--log-level", type=click.Choice(LOG_LEVELS), default="info", help="Log from here on."
)
@pass_session
def agent(session: Session, /, **given: Any) -> None:
    """
    Be an agent, until a signal comes: the first lets it finish its work.

    Modules are looked for in the current folder, too.
    """
    run: Any = namedAny(_AGENT)
    click.get_current_context().exit(run(session.url, **given))
