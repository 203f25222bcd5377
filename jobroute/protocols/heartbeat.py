# -*- test-case-name: tests.protocols.test_heartbeat -*-
"""
The broker lives.
"""

from __future__ import annotations

from attrs import define

from jobroute.errors import TransportError
from jobroute.protocols.base import SocketProtocol
from jobroute.wire.backend import encode_beat


@define(eq=False, repr=False)
class HeartbeatProtocol(SocketProtocol):
    """
    The PUB that agents listen to.

    @ivar spread: within how many seconds agents that hear a new epoch are to
        come back.
    """

    _interval: float
    _pid: int
    epoch: int = 0
    spread: float = 0.0

    def beat(self) -> None:
        """
        Say it once.
        """
        if self.transport is None:
            return
        try:
            self.transport.send(encode_beat(self.epoch, self._interval, self._pid, self.spread))
        except TransportError as e:
            self._log.warn("A beat could not be sent: {reason}", reason=str(e))
