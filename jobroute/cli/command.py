# -*- test-case-name: tests.cli.test_command -*-
"""
The C{jobroute} command itself: what all its commands have in common.

Exit statuses: 0 done, 1 the job failed, 2 the command line is wrong, 3 the
broker refused, 4 there is no broker, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from jobroute import __version__
from jobroute.cli import (
    again,
    completion,
    demo,
    doctor,
    jobs,
    looking,
    offered,
    operating,
    options,
    processes,
    store,
    top,
)
from jobroute.cli.session import Session
from jobroute.cli.stage import StageError
from jobroute.client.questions import broker_url
from jobroute.errors import BadEndpoint, BrokerLost, ConfigurationError, JobFailed, JobrouteError

#: Exit statuses.
FAILED, USAGE, REFUSED, NO_BROKER, INTERRUPTED = 1, 2, 3, 4, 130

_FIRST = """\
jobroute routes jobs from clients to agents.  Type this first, each line in a terminal of its own:

  jobroute broker
  jobroute agent --service echo=jobroute.agent.builtin:echo
  jobroute call echo hello

Then: jobroute --help, jobroute COMMAND --help; or watch it work: jobroute demo
"""


class Commands(click.Group):
    """
    Runs a command, and turns what went wrong into a sentence and a status.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """
        Run it.
        """
        try:
            return super().invoke(ctx)
        except JobrouteError as e:
            ctx.exit(self._explain(ctx, e))
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """
        In the order in which one meets them; then those of other packages.
        """
        return [*self.commands, *(name for name in offered.names() if name not in self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        One of ours, or what an installed package offers under this name.
        """
        return super().get_command(ctx, cmd_name) or offered.named(cmd_name)

    def _explain(self, ctx: click.Context, error: JobrouteError) -> int:
        session: Session = ctx.obj
        sentence = str(error)
        if isinstance(error, BrokerLost):
            sentence = session.no_broker
        # What became of a job was printed before.
        if session.screen.json and not isinstance(error, JobFailed):
            session.screen.value({"error": sentence, "code": error.code})
        session.screen.say(sentence)
        if isinstance(error, JobFailed | StageError):
            return FAILED
        if isinstance(error, BadEndpoint | ConfigurationError):
            return USAGE
        return NO_BROKER if isinstance(error, BrokerLost) else REFUSED


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--broker",
    envvar="JOBROUTE_BROKER",
    callback=options.url,
    metavar="URL",
    help="Where the broker's frontend is; in the default data directory if not given.",
)
@click.option(
    "--json", envvar="JOBROUTE_JSON", is_flag=True, help="Print JSON: one object, or a line each."
)
@click.option(
    "--patience",
    envvar="JOBROUTE_PATIENCE",
    callback=options.duration,
    default="3s",
    metavar="TIME",
    help="How long to look for a broker before there is none; 3s if not given.",
)
@click.version_option(__version__, message="jobroute %(version)s")
@click.pass_context
def jobroute(ctx: click.Context, broker: str | None, json: bool, patience: float) -> None:
    """
    Route jobs from clients to agents.

    Exit status: 0 done, 1 the job failed, 2 the command line is wrong, 3 the broker refused, 4
    there is no broker.
    """
    session = ctx.ensure_object(Session)
    session.begin(broker_url(broker), json, patience)
    if ctx.invoked_subcommand is None:
        click.echo(_FIRST, nl=False)


for command in (
    processes.broker,
    processes.agent,
    looking.ping,
    looking.agents,
    jobs.call,
    jobs.submit,
    jobs.map_lines,
    jobs.wait,
    jobs.result,
    jobs.cancel,
    again.retry,
    again.quarantine,
    jobs.send_input,
    looking.jobs,
    looking.job,
    looking.why,
    looking.stats,
    top.top,
    store.fsck,
    store.backup,
    store.restore,
    operating.drain,
    operating.pause,
    operating.resume,
    doctor.doctor,
    completion.completion,
    demo.demo,
):
    jobroute.add_command(command)


def main() -> None:
    """
    Run the command, and end the process.
    """
    try:
        jobroute(prog_name="jobroute")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
