# -*- test-case-name: tests.service.test_service -*-
"""
The sockets of a broker: bound together or not at all, read when it is ready,
closed in order.
"""

from __future__ import annotations

import socket

from attrs import define, field
from twisted.python.failure import Failure

from jobroute.config import SERVED, Settings
from jobroute.interfaces import (
    IMessagePort,
    IMessageProtocol,
    INetwork,
    SocketKind,
    SocketOptions,
)
from jobroute.lock import DataDirectory
from jobroute.log import Logger
from jobroute.protocols.base import OneProtocol

_KINDS = {
    "frontend": SocketKind.ROUTER,
    "backend": SocketKind.ROUTER,
    "register": SocketKind.PULL,
    "heartbeat": SocketKind.PUB,
}

#: How many messages a peer's queue holds: far more than any agent has credit
#: for, so that what is full is the peer's own fault.
HIGH_WATER = 10_000

_WILDCARDS = ("tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:")


@define(eq=False)
class Sockets:
    """
    @ivar network: where they come from.
    """

    _log = Logger()

    _settings: Settings
    _directory: DataDirectory
    network: INetwork
    _ports: dict[str, IMessagePort] = field(factory=dict, init=False)

    def bind(self, protocols: dict[str, IMessageProtocol]) -> None:
        """
        Bind every socket that the settings name, reading nothing yet.

        @raise JobrouteError: if one cannot be bound; L{close} gives the
            others back.
        """
        for name in SERVED:
            if self._settings.endpoints[name]:
                self._bind(name, protocols[name])

    def _bind(self, name: str, protocol: IMessageProtocol) -> None:
        settings = self._settings
        routes = _KINDS[name] is SocketKind.ROUTER
        options = SocketOptions(
            high_water=HIGH_WATER,
            max_message=2 * settings.limits.message,
            # Else whoever reconnects under a half-open identity is never heard.
            handover=routes,
            heartbeat=settings.heartbeat_interval if routes else 0.0,
        )
        address = settings.endpoints[name]
        endpoint = self.network.endpoint(_KINDS[name], address, options)
        failures: list[Failure] = []

        def bound(port: IMessagePort) -> None:
            self._ports[name] = port

        endpoint.listen(OneProtocol(protocol), paused=True).addCallbacks(bound, failures.append)
        if failures:
            failures[0].raiseException()
        if address.startswith("ipc://"):
            self._directory.adopt(address.removeprefix("ipc://"))

    def __contains__(self, name: str) -> bool:
        return name in self._ports

    def resume(self) -> None:
        """
        Read what comes, from now on.
        """
        for port in self._ports.values():
            port.resumeReading()

    async def close(self) -> None:
        """
        Close all of them, whatever one of them says to that.
        """
        for name, port in self._ports.items():
            try:
                await port.stopListening()
            except Exception:
                self._log.failure("The socket {name} was not closed.", name=name)

    def endpoints(self) -> dict[str, str]:
        """
        Where each can be reached, by name.
        """
        return {name: self._reachable(port.getHost()) for name, port in self._ports.items()}

    def _reachable(self, url: str) -> str:
        """
        An address that was bound as a wildcard, as others can reach it.
        """
        for wildcard in _WILDCARDS:
            if url.startswith(wildcard):
                host = self._settings.advertise or socket.gethostname()
                return f"tcp://{host}:{url.removeprefix(wildcard)}"
        return url
