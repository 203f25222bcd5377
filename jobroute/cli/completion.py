# -*- test-case-name: tests.cli.test_completion -*-
"""
What a shell can complete: commands and options by itself, names by asking the
broker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import get_completion_class

from jobroute.cli.session import Session, pass_session
from jobroute.client import Client
from jobroute.client.questions import broker_url
from jobroute.errors import JobrouteError

#: Who presses a key does not wait longer, in seconds.
PATIENCE = 1.0

#: So many names are offered.
MOST = 200

_VARIABLE = "_JOBROUTE_COMPLETE"

#: Where each shell looks for it.
_WHERE = {
    "bash": "~/.bashrc:  source <(jobroute completion bash)",
    "zsh": "~/.zshrc:  source <(jobroute completion zsh)",
    "fish": "~/.config/fish/config.fish:  jobroute completion fish | source",
}

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _completer(question: Callable[[Client], Iterable[str]]) -> Completer:
    """
    Completes the names that a broker gives; without one there are none.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        root = ctx.find_root()
        session = root.find_object(Session) or Session()
        try:
            url = broker_url(root.params.get("broker"))
            namespace = ctx.params.get("namespace") or "default"
            with session.connect(url, timeout=PATIENCE, namespace=namespace) as client:
                names = sorted(set(question(client)))
        except JobrouteError:
            return []
        return [name for name in names if name.startswith(incomplete)][:MOST]

    return complete


#: Names of agents, of services that they offer, and of the latest jobs.
agents = _completer(lambda client: client.agents())
services = _completer(
    lambda client: (name for agent in client.agents().values() for name in agent["services"])
)
jobs = _completer(lambda client: (line.job for line in client.jobs(limit=MOST).jobs))


@click.command()
@click.argument("shell", type=click.Choice(list(_WHERE)))
@pass_session
def completion(session: Session, /, shell: str) -> None:
    """
    Print what lets a shell complete this command.

    To be read by the shell when it starts: source <(jobroute completion bash) in ~/.bashrc, the
    same for zsh in ~/.zshrc, and jobroute completion fish | source for fish.
    """
    found = get_completion_class(shell)
    assert found is not None
    root = click.get_current_context().find_root()
    script = found(root.command, {}, "jobroute", _VARIABLE).source()
    if session.screen.json:
        session.screen.value({"shell": shell, "script": script})
        return
    click.echo(script, nl=False)
    if session.screen.terminal:
        session.screen.say(f"Put it into {_WHERE[shell]}")
