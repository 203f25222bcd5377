# -*- test-case-name: tests.simulation.test_simulation -*-
"""
The real client in a simulated process.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from jobroute.client import TwistedClient
from jobroute.testing.processes import Process
from jobroute.testing.questions import Asker

#: Seconds for which a client bears a silent broker.
TIMEOUT = 30.0


@define(eq=False)
class SimulatedClient(Process):
    """
    One client in all its lives.

    @ivar asker: asks for it, while it lives.
    """

    asker: Asker | None = field(default=None, init=False)

    @property
    def waiting(self) -> bool:
        """
        Whether a question has no answer yet.
        """
        return self.asker is not None and bool(self.asker.waiting)

    @property
    def identities(self) -> list[bytes]:
        """
        Under which the broker knows it.
        """
        return [socket.identity for socket in self.host.sockets] if self.up else []

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        self.begin()
        client = TwistedClient(
            self.place.url,
            reactor=self.reactor,
            network=self.host,
            name=self.name,
            timeout=TIMEOUT,
            clock=self.clock,
            random=self.random,
        )
        life = self.life

        def note(what: str, **said: Any) -> None:
            if self.up and self.life == life:
                self.note(what, **said)

        self.asker = Asker(client, note)

    def end(self) -> None:
        """
        Be no more.
        """
        super().end()
        self.graveyard.append(self.asker)
        self.asker = None
