# -*- test-case-name: tests.agent.test_core -*-
"""
What the core of an agent can do: the one way out of it.
"""

from __future__ import annotations

from typing import Protocol

from jobroute.agent.attempts import Attempt
from jobroute.model import Frames


class Outlet(Protocol):
    """
    Sockets and functions, as the core sees them.  Nothing here raises.
    """

    def announce(self) -> bool:
        """
        Say on the register socket who we are.

        @return: whether it could be sent.
        """

    def send(self, frames: list[bytes]) -> bool:
        """
        Send on the backend.

        @return: whether it could be sent.
        """

    def seek(self) -> None:
        """
        The broker is away, and may be somewhere else: ask the frontend.
        """

    def start(self, attempt: Attempt) -> None:
        """
        Begin to work.
        """

    def cancel(self, attempt: Attempt) -> None:
        """
        Stop working, at once if that is possible.
        """

    def input(self, attempt: Attempt, payload: Frames) -> None:
        """
        Give an input to the work.
        """

    def registered(self) -> None:
        """
        The broker has taken the agent.
        """

    def refused(self, code: str, text: str) -> None:
        """
        The broker does not take the agent, and there is no hope.
        """
