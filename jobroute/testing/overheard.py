# -*- test-case-name: tests.simulation.test_tap -*-
"""
What a broker hears and says, as its history has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from attrs import define, field

from jobroute.config import Settings
from jobroute.errors import JobrouteError
from jobroute.testing.history import Note
from jobroute.wire.backend import decode_agent_message, decode_broker_message
from jobroute.wire.native import split

_any = msgspec.json.Decoder()


@define(eq=False)
class Overheard:
    """
    Notes the messages of a broker; for L{jobroute.testing.tap.TappedNetwork}.

    @ivar note: the broker's history.
    """

    _settings: Settings
    note: Note
    _sockets: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._sockets = {url: name for name, url in self._settings.endpoints.items()}

    def tell(self, address: str, received: bool, frames: Sequence[bytes]) -> None:
        """
        Note a message.
        """
        name = self._sockets[address]
        if name == "backend":
            if received:
                self._heard(frames)
            else:
                self._said(frames)
        elif name == "frontend":
            self._client("request" if received else "answer", frames)

    def _heard(self, frames: Sequence[bytes]) -> None:
        agent = frames[0].decode("utf-8", "backslashreplace")
        try:
            message = decode_agent_message(list(frames[1:]), self._settings.limits)
        except JobrouteError as e:
            # From somebody who is no agent.
            self.note("heard", agent=agent, message="", wrong=e.code)
            return
        said: dict[str, Any] = {"agent": agent, "message": message.message}
        if message.part:
            said.update(part=message.part, attempt=message.attempt)
            if message.message == "partial":
                said["sequence"] = message.sequence
        elif message.message in ("beat", "pong"):
            said["held"] = message.held
        self.note("heard", **said)

    def _said(self, frames: Sequence[bytes]) -> None:
        message = decode_broker_message(list(frames[1:]))
        said: dict[str, Any] = {
            "agent": frames[0].decode("utf-8", "backslashreplace"),
            "message": message.message,
        }
        match message.message:
            case "deliver":
                said.update(part=message.part, attempt=message.attempt, job=message.job)
                said["volatile"] = message.volatile
            case "cancel" | "input":
                said.update(part=message.part, attempt=message.attempt)
            case "welcome":
                said.update(number=message.number, epoch=message.epoch, held=message.held)
            case "refuse":
                said["code"] = message.code
        acknowledged = message.attempts or message.ack
        if acknowledged:
            said["acknowledged"] = acknowledged
        self.note("said", **said)

    def _client(self, what: str, frames: Sequence[bytes]) -> None:
        _, rest = split(list(frames))
        body: Any = None
        if rest:
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                body = _any.decode(rest[0])
        if not isinstance(body, dict):
            # No request.
            body = {}
        said: dict[str, Any] = {"client": frames[0].hex()[:16], "id": repr(body.get("id"))}
        for name in ("command", "job", "code", "error"):
            if isinstance(body.get(name), str):
                said[name] = body[name]
        if body.get("final") is False:
            said["final"] = False
        if what == "request" and not said.get("command"):
            said["wrong"] = True
        self.note(what, **said)
