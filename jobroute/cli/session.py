# -*- test-case-name: tests.cli.test_command -*-
"""
One use of the C{jobroute} command: where the broker is, and where the output
goes.
"""

from __future__ import annotations

from collections.abc import Callable
from shlex import quote
from typing import Any

import click
from attrs import define, field

from jobroute.cli.screen import Screen
from jobroute.client import Client
from jobroute.config import default_data_dir, frontend_url, is_private

#: For how long a broker that was there may be silent.
LASTING = 30.0


@define(eq=False)
class Session:
    """
    What all commands need.

    @ivar connect: makes a client.
    @ivar screen: where the output goes.
    @ivar url: where the broker is.
    @ivar patience: for how many seconds it is looked for.
    """

    connect: Callable[..., Any] = Client
    screen: Screen = field(init=False)
    url: str = field(init=False)
    patience: float = field(init=False)

    def begin(self, url: str, json: bool, patience: float) -> None:
        """
        Take over what stands before the command.
        """
        self.url, self.patience = url, patience
        self.screen = Screen(json)

    def client(self, namespace: str = "default", name: str | None = None) -> Client:
        """
        A client of the broker, which is there.

        @raise BrokerLost: if it is not.
        """
        with self.connect(self.url, timeout=self.patience) as client:
            client.ping(agents=False)
        found: Client = self.connect(
            self.url, namespace=namespace, name=name, timeout=max(LASTING, self.patience)
        )
        return found

    @property
    def no_broker(self) -> str:
        """
        A sentence that says that there is no broker, and what to type.
        """
        return (
            f"No broker answers at {self.url}; start one with: {self.starter}, or say with "
            "--broker URL where it is."
        )

    @property
    def starter(self) -> str:
        """
        What to type for a broker that listens where it is looked for.
        """
        return starter(self.url)


def starter(url: str) -> str:
    """
    The command line of a broker that would listen there.
    """
    if url == frontend_url(default_data_dir()):
        return "jobroute broker"
    scheme, _, rest = url.partition("://")
    if scheme == "ipc" and rest.startswith("/") and rest.endswith("/frontend.ipc"):
        return f"jobroute broker --data-dir {quote(rest.removesuffix('/frontend.ipc') or '/')}"
    if scheme == "tcp":
        return f"jobroute broker --tcp {quote(rest)}{'' if is_private(url) else ' --insecure'}"
    return f"jobroute broker --frontend {quote(url)}"


pass_session = click.make_pass_decorator(Session)
