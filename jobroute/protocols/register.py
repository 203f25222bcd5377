# -*- test-case-name: tests.protocols.test_register -*-
"""
Agents announce themselves; what must be answered goes through the backend.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from jobroute.config import Limits
from jobroute.errors import BadMessage
from jobroute.interfaces import IAgentRoute, IAgents
from jobroute.protocols.base import SocketProtocol
from jobroute.wire.backend import decode_announcement


@define(eq=False, repr=False)
class RegisterProtocol(SocketProtocol):
    """
    The PULL that agents announce themselves to.

    @ivar route: makes the route of an incarnation.
    """

    _agents: IAgents
    _route: Callable[[str], IAgentRoute]
    _limits: Limits
    _counters: dict[str, int]

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        Somebody says who it is.  A PULL cannot answer: what is wrong is
        counted.
        """
        try:
            announcement = decode_announcement(frames, self._limits)
        except BadMessage as e:
            self._counters["announcements_malformed"] += 1
            self._log.warn("An announcement was refused: {reason}", reason=str(e))
            return
        self._agents.announced(announcement, self._route(announcement.incarnation))
