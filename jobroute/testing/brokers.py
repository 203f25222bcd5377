# -*- test-case-name: tests.simulation.test_simulation -*-
"""
The real broker in a simulated process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from attrs import define, field
from twisted.python.failure import Failure

from jobroute.config import Settings, load
from jobroute.lock import DataDirectory
from jobroute.service import BrokerService
from jobroute.testing.disk import SimulatedDisk
from jobroute.testing.processes import Process
from jobroute.testing.tap import TappedNetwork
from jobroute.wire.backend import decode_agent_message, decode_broker_message

_any = msgspec.json.Decoder()

#: Seconds between two beats, and how many make a lease.
INTERVAL = 0.4
LIVENESS = 3
LEASE = INTERVAL * LIVENESS

#: Seconds in which agents come back; not shorter than a lease.
GRACE = 2.5

#: Seconds until a job expires that says nothing of it.
DEADLINE = 40.0


def settings() -> Settings:
    """
    Of a broker in a hurry, since its world has no time.
    """
    return load(
        {"data_dir": "/nonexistent", "tcp": "127.0.0.1:7780"},
        {
            "heartbeat_interval": INTERVAL,
            "liveness": LIVENESS,
            "grace": GRACE,
            "registration_timeout": 5.0,
            "drain": 1.0,
            "deadline": DEADLINE,
        },
    )


class NoDirectory(DataDirectory):
    """
    A data directory that is nowhere: there is only one broker in a world.
    """

    def acquire(self) -> None:
        """
        Nobody else wants it.
        """

    def adopt(self, path: str) -> None:
        """
        There are no files.
        """

    def sign(self, pid: int) -> None:
        """
        There is no lock.
        """

    def release(self) -> None:
        """
        Nobody waits for it.
        """


@define(eq=False)
class SimulatedBroker(Process):
    """
    The broker in all its lives, with the disk that outlives them.

    @ivar service: the real one.
    @ivar serving: whether clients are served.
    """

    disk: SimulatedDisk = field(kw_only=True)
    settings: Settings = field(factory=settings, kw_only=True)
    service: BrokerService | None = field(default=None, init=False)
    serving: bool = field(default=False, init=False)
    _sockets: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._sockets = {url: name for name, url in self.settings.endpoints.items()}

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        self.begin()
        service = self.service = BrokerService(
            self.settings,
            self.reactor,
            network=TappedNetwork(self.host, self._tell),
            clock=self.clock,
            storage=self.disk,
            directory=NoDirectory(""),
        )
        service.whenReady().addCallbacks(self._ready, self._unready)
        service.startService()

    def crash(self, **said: Any) -> None:
        """
        Die, and lose what is not on disk.
        """
        lost = len(self.disk.pending)
        super().crash(lost=lost, **said)
        self.disk.lose()

    def stop(self) -> None:
        """
        End in order.
        """
        assert self.service is not None
        self.serving = False
        self.stopping = True
        self.note("stopping")
        life = self.life

        def stopped(_: object) -> None:
            if self.up and self.life == life:
                self.note("left")
                self.end()

        self.service.stopService().addBoth(stopped)

    def end(self) -> None:
        """
        Be no more.
        """
        super().end()
        self.serving = False
        self.graveyard.append(self.service)
        self.service = None

    def _ready(self, _: None) -> None:
        assert self.service is not None
        self.serving = True
        self.note("ready", epoch=self.service.broker.agents.epoch)
        life = self.life

        def ended(failure: Failure) -> None:
            # By itself, since its storage was lost.
            if self.life == life:
                self.serving = False
                self.note("unready", reason=str(failure.value))

        self.service.whenStopped().addErrback(ended)

    def _unready(self, failure: Failure) -> None:
        self.note("unready", reason=str(failure.value))

    # -- What is said

    def _tell(self, address: str, received: bool, frames: Sequence[bytes]) -> None:
        name = self._sockets[address]
        if name == "backend":
            if received:
                self._heard(frames)
            else:
                self._said(frames)
        elif name == "frontend":
            self._client("request" if received else "answer", frames)

    def _heard(self, frames: Sequence[bytes]) -> None:
        message = decode_agent_message(list(frames[1:]), self.settings.limits)
        said: dict[str, Any] = {"agent": frames[0].decode(), "message": message.message}
        if message.part:
            said.update(part=message.part, attempt=message.attempt)
            if message.message == "partial":
                said["sequence"] = message.sequence
        elif message.message in ("beat", "pong"):
            said["held"] = message.held
        self.note("heard", **said)

    def _said(self, frames: Sequence[bytes]) -> None:
        message = decode_broker_message(list(frames[1:]))
        said: dict[str, Any] = {"agent": frames[0].decode(), "message": message.message}
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
