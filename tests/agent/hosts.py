"""
Who takes what functions say, in tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.python.reflect import namedAny
from twisted.trial.unittest import TestCase

from jobroute.agent.attempts import Attempt
from jobroute.agent.context import Context
from jobroute.config import Limits
from jobroute.interfaces import Delivery
from jobroute.model import Frames

#: Trial's own.
reactor: Any = namedAny("twisted.internet.reactor")


def lives(pid: int) -> bool:
    """
    Whether a process is there, and is no zombie.
    """
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False


class HostCase(TestCase):
    """
    Is a host, and remembers what it is told.

    @ivar room: what partial results wait for.
    """

    timeout = 60

    def setUp(self) -> None:
        """
        Nothing was said yet.
        """
        self.said: list[Any] = []
        self.partials: list[Frames] = []
        self.room: Deferred[None] = succeed(None)
        self.limits = Limits()
        self.number = 0

    def progress(self, attempt: Attempt, value: Raw) -> None:
        """
        As a host.
        """
        self.said.append(json.loads(bytes(value)))

    def partial(self, attempt: Attempt, payload: Frames) -> Deferred[None]:
        """
        As a host.
        """
        self.partials.append(payload)
        return self.room

    def context(self, name: str, *frames: bytes, **more: Any) -> Context:
        """
        Of another attempt.
        """
        self.number += 1
        values = {"header": b"null", "run_limit": None, **more}
        delivery = Delivery(
            self.number, 1, "j", 0, name, values["header"], values["run_limit"], False, frames
        )
        return Context(Attempt(delivery), self, self.limits)

    async def appears(self, path: Path) -> list[int]:
        """
        The processes whose numbers are written there, once they are.
        """
        while not path.exists():
            await deferLater(reactor, 0.02)
        return [int(number) for number in path.read_text(encoding="ascii").split()]

    async def ends(self, *pids: int) -> None:
        """
        Wait until there are no such processes.
        """
        while any(map(lives, pids)):
            await deferLater(reactor, 0.02)
