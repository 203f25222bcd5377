# -*- test-case-name: tests.agent.test_discovery -*-
"""
Where the broker's sockets are: the frontend is asked until it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from jobroute.agent.pauses import Pauses
from jobroute.agent.protocols import AgentProtocol, FrontendFactory
from jobroute.errors import BadVersion, RegistrationRefused
from jobroute.interfaces import IMessageProtocol, INetwork, SocketKind, SocketOptions
from jobroute.log import Logger
from jobroute.wire import native

#: Refusals that no patience helps against.
_HOPELESS = ("bad-version", "denied", "unknown-command", "bad-property")

#: What an agent needs.
_NEEDED = ("backend", "register")


def read_endpoints(answer: native.Answer) -> dict[str, str] | None:
    """
    The endpoints in an answer to C{PING}.

    @return: L{None} if they are not there, and asking again may help.
    @raise RegistrationRefused: if it does not.
    @raise BadVersion: if the broker speaks another version of the protocol.
    """
    if answer.error is not None:
        if answer.code in _HOPELESS:
            raise RegistrationRefused(f"The broker refused: {answer.error}")
        return None
    result: Any = answer.result
    if not isinstance(result, dict):
        return None
    version = result.get("protocol", native.VERSION)
    if version != native.VERSION:
        raise BadVersion(
            f"The broker speaks version {version} of the protocol, not {native.VERSION}."
        )
    found = result.get("endpoints")
    if not isinstance(found, dict):
        return None
    endpoints = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, str)}
    if not all(endpoints.get(name) for name in _NEEDED):
        return None
    return endpoints


@define(eq=False)
class Discovery:
    """
    Asks until there is an answer.

    @ivar found: called with the endpoints, once.
    @ivar longest: no pause between two questions is longer, in seconds.
    @ivar failed: called with the reason when there is no hope.
    """

    _log = Logger()

    _network: INetwork
    _url: str
    _reactor: IReactorTime
    _random: Random
    _found: Callable[[dict[str, str]], None]
    _failed: Callable[[Failure], None]
    longest: float = 15.0
    _protocol: AgentProtocol | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _asked: int = field(default=0, init=False)
    _over: bool = field(default=False, init=False)
    _unsent: Pauses = field(init=False)
    _unanswered: Pauses = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._unsent = Pauses(self._random, 0.02, 1.0)
        self._unanswered = Pauses(self._random, min(2.0, self.longest), min(15.0, self.longest))

    def start(self) -> None:
        """
        Begin to ask.
        """
        options = SocketOptions(immediate=True, heartbeat=2.0, linger=0.0)
        try:
            endpoint = self._network.endpoint(SocketKind.DEALER, self._url, options)
        except Exception:
            self._fail(Failure())
            return
        endpoint.connect(FrontendFactory(self._answered)).addCallbacks(self._open, self._fail)

    def stop(self) -> None:
        """
        Ask no more, and tell nobody.
        """
        self._over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._protocol is not None:
            self._protocol.close()

    def _open(self, protocol: IMessageProtocol) -> None:
        assert isinstance(protocol, AgentProtocol)
        self._protocol = protocol
        if self._over:
            protocol.close()
        else:
            self._ask()

    def _ask(self) -> None:
        assert self._protocol is not None
        self._asked += 1
        request = native.encode_request(self._asked, "PING", {"agents": False})
        pauses = self._unanswered if self._protocol.send(request) else self._unsent
        self._timer = self._reactor.callLater(pauses.next(), self._ask)

    def _answered(self, answer: native.Answer) -> None:
        if self._over:
            return
        try:
            endpoints = read_endpoints(answer)
        except Exception:
            self._fail(Failure())
            return
        if endpoints is not None:
            self.stop()
            self._found(endpoints)

    def _fail(self, failure: Failure) -> None:
        if not self._over:
            self.stop()
            self._failed(failure)
