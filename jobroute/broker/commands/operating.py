# -*- test-case-name: tests.broker.test_pauses -*-
"""
C{DRAIN}, C{PAUSE} and C{RESUME}: what operators stop, and let go on.
"""

from __future__ import annotations

from typing import Annotated, Any

from attrs import define
from msgspec import Meta

from jobroute.broker.commands.base import LATER, Command, Name, Properties
from jobroute.broker.journal import Journal
from jobroute.broker.pauses import Pauses
from jobroute.interfaces import AnswerKind, Caller, IReplyTo
from jobroute.model import Frames


class AgentName(Properties, kw_only=True):
    """
    Names an agent.
    """

    agent: Annotated[Name, Meta(description="the agent's name")]


class ServiceName(Properties, kw_only=True):
    """
    Names a service.
    """

    service: Annotated[Name, Meta(description="the service's name")]


class AgentOrService(Properties, kw_only=True):
    """
    Names an agent or a service.
    """

    agent: Annotated[Name | None, Meta(description="the agent's name")] = None
    service: Annotated[Name | None, Meta(description="the service's name")] = None

    def __post_init__(self) -> None:
        if (self.agent is None) == (self.service is None):
            raise ValueError("either agent or service must be given")


@define(eq=False, repr=False)
class _Operating(Command):
    """
    Answers when what was asked for is on disk.
    """

    role = "operator"

    _pauses: Pauses
    _journal: Journal

    def _agent(self, name: str, stopped: bool, reply_to: IReplyTo) -> Any:
        agent = self._pauses.drain(name, stopped)
        held = 0 if agent is None else agent.outstanding
        return self._answer(reply_to, {"agent": name, "drained": stopped, "outstanding": held})

    def _service(self, name: str, stopped: bool, reply_to: IReplyTo) -> Any:
        service = self._pauses.pause(name, stopped)
        said = {"service": name, "paused": stopped, "queued": service.queued + service.waiting}
        return self._answer(reply_to, said)

    def _answer(self, reply_to: IReplyTo, said: dict[str, Any]) -> Any:
        self._journal.park(reply_to.answer, AnswerKind.RESULT, said)
        self._journal.flush()
        return LATER


class Drain(_Operating):
    """
    Give an agent nothing more; it finishes what it has.
    """

    name = "DRAIN"
    properties = AgentName

    def execute(
        self, properties: AgentName, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        return self._agent(properties.agent, True, reply_to)


class Pause(_Operating):
    """
    Give out nothing of a service; what is handed in waits.
    """

    name = "PAUSE"
    properties = ServiceName

    def execute(
        self, properties: ServiceName, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        return self._service(properties.service, True, reply_to)


class Resume(_Operating):
    """
    Let an agent that was drained, or a service that was paused, go on.
    """

    name = "RESUME"
    properties = AgentOrService

    def execute(
        self, properties: AgentOrService, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        if properties.agent is not None:
            return self._agent(properties.agent, False, reply_to)
        assert properties.service is not None
        return self._service(properties.service, False, reply_to)
