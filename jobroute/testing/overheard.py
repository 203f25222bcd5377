# -*- test-case-name: tests.simulation.test_tap -*-
"""
What a broker hears and says, as its history has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from attrs import define, field

from jobroute.config import Settings
from jobroute.testing.history import Note
from jobroute.wire.backend import decode_agent_message, decode_broker_message

_any = msgspec.json.Decoder()


def _identity(frames: Sequence[bytes]) -> str:
    # A connection whose identity was taken over gets another one, of bytes.
    return frames[0].decode("ascii", "backslashreplace")


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
        message = decode_agent_message(list(frames[1:]), self._settings.limits)
        said: dict[str, Any] = {
            "agent": frames[0].decode("utf-8", "backslashreplace"),
            "message": message.message,
        }
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
        body = _any.decode(frames[2])
        said = {"client": frames[0].hex()[:8], "id": body.get("id")}
        for name in ("command", "job", "code"):
            if name in body:
                said[name] = body[name]
        self.note(what, **said)
