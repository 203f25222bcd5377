# -*- test-case-name: tests.broker.test_registration -*-
"""
How a stranger becomes an agent.

It says who it is, it is pinged until it answers, and then it is an agent.
Somebody whose name a living agent has waits until that one was pinged too.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from attrs import define, field

from jobroute.broker.roster import Agent, Roster
from jobroute.broker.services import Services
from jobroute.config import Settings
from jobroute.interfaces import IAgentRoute, IClock, IHeartbeat
from jobroute.log import Logger
from jobroute.model import Announcement

#: Seconds between two pings of the same newcomer.
PING_INTERVAL = 0.25

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Announcement).decode

#: How many times the limit of living agents may be known by name.
NAMES = 10


def describe(announcement: Announcement) -> bytes:
    """
    An announcement as the store keeps it.
    """
    return _encode(announcement)


def described(description: bytes) -> Announcement:
    """
    An announcement from the store.

    @raise msgspec.DecodeError: if it is none.
    """
    return _decode(description)


@define(eq=False, repr=False)
class _Newcomer:
    announcement: Announcement
    route: IAgentRoute
    nonce: str
    since: float
    asked: float
    rival: Agent | None = None
    rival_asked: float = 0.0
    answered: bool = False


@define(eq=False, repr=False)
class Registration:
    """
    Those who are not agents yet.

    @ivar admitted: called with the announcement and the route of one who is
        an agent now.
    """

    _log = Logger()

    _settings: Settings
    _clock: IClock
    _roster: Roster
    _services: Services
    _heartbeat: IHeartbeat
    _counters: dict[str, int]
    _displaced: Callable[[Agent], None]
    _admitted: Callable[[Announcement, IAgentRoute], None]
    _newcomers: dict[str, _Newcomer] = field(factory=dict, init=False)
    _nonces: int = field(default=0, init=False)

    def __len__(self) -> int:
        return len(self._newcomers)

    def nonce(self) -> str:
        """
        What a ping asks to be answered with.
        """
        self._nonces += 1
        return str(self._nonces)

    def announced(self, announcement: Announcement, route: IAgentRoute) -> None:
        """
        Somebody says who it is.
        """
        now = self._clock.monotonic()
        known = self._newcomers.get(announcement.incarnation)
        if known is not None:
            if known.announcement.name == announcement.name:
                known.announcement, known.route = announcement, route
            return
        if route.agent is not None and route.agent.name != announcement.name:
            text = f"This incarnation is agent {route.agent.name} already."
            self.refuse(route, "name-taken", text)
            return
        if len(self._newcomers) >= self._settings.limits.pending_registrations:
            text = f"{len(self._newcomers)} registrations are under way, and that is the limit."
            self.refuse(route, "busy", text)
            return
        refusal = self._refusal(announcement)
        if refusal is not None:
            self.refuse(route, "busy", refusal)
            return
        newcomer = _Newcomer(announcement, route, self.nonce(), now, now)
        self._newcomers[announcement.incarnation] = newcomer
        self._ask_rival(newcomer, now)
        route.ping(newcomer.nonce)

    def _ask_rival(self, newcomer: _Newcomer, now: float) -> None:
        """
        Ping the living agent of another incarnation that has the name.
        """
        rival = self._roster.get(newcomer.announcement.name)
        if rival is None or rival.incarnation == newcomer.announcement.incarnation:
            newcomer.rival = None
        elif rival is not newcomer.rival:
            newcomer.rival, newcomer.rival_asked = rival, now
            rival.route.ping(self.nonce())

    def _refusal(self, announcement: Announcement) -> str | None:
        """
        Which limit is in the way of an agent.
        """
        limits = self._settings.limits
        if self._roster.known(announcement.name) is None:
            if self._roster.names >= NAMES * limits.agents:
                return f"{self._roster.names} names of agents are known, and that is the limit."
        if self._roster.get(announcement.name) is None and len(self._roster) >= limits.agents:
            return f"There are {limits.agents} agents, and that is the limit."
        new = sum(self._services.get(name) is None for name in announcement.services)
        if new and len(self._services) + new > limits.services:
            return (
                f"It offers {new} new services; there are {len(self._services)}, and "
                f"{limits.services} is the limit."
            )
        return None

    def refuse(self, route: IAgentRoute, code: str, text: str) -> None:
        """
        Somebody is not taken.
        """
        self._counters["registrations_refused"] += 1
        route.refuse(code, text)
        if route.agent is None:
            route.close()

    def ponged(self, incarnation: str, nonce: str) -> bool:
        """
        Somebody answered a ping.

        @return: whether it was a newcomer.
        """
        newcomer = self._newcomers.get(incarnation)
        if newcomer is None or newcomer.nonce != nonce:
            return False
        newcomer.answered = True
        self._decide(newcomer, self._clock.monotonic())
        return True

    def gone(self, route: IAgentRoute) -> None:
        """
        Somebody took leave, maybe before it was taken.
        """
        newcomer = self._newcomers.pop(route.identity, None)
        if newcomer is not None and route.agent is None:
            route.close()

    def _decide(self, newcomer: _Newcomer, now: float) -> None:
        # Meanwhile the name may have got another agent than the one asked.
        self._ask_rival(newcomer, now)
        rival = newcomer.rival
        name = newcomer.announcement.name
        if rival is not None:
            if self._heartbeat.silence(rival, now) < now - newcomer.rival_asked:
                self._done(newcomer)
                self.refuse(
                    newcomer.route,
                    "name-taken",
                    f"Another agent has the name {name} and answers; choose another name.",
                )
                return
            settings = self._settings
            patience = min(settings.heartbeat_interval, settings.registration_timeout / 2)
            if now - newcomer.rival_asked < patience:
                return
            self._displaced(rival)
        self._done(newcomer)
        refusal = self._refusal(newcomer.announcement)
        if refusal is not None:
            self.refuse(newcomer.route, "busy", refusal)
        else:
            self._admitted(newcomer.announcement, newcomer.route)

    def _done(self, newcomer: _Newcomer) -> None:
        del self._newcomers[newcomer.announcement.incarnation]

    def tick(self) -> None:
        """
        Ask again, and forget those who never answer.
        """
        now = self._clock.monotonic()
        for newcomer in list(self._newcomers.values()):
            if now - newcomer.since >= self._settings.registration_timeout:
                self._done(newcomer)
                self._counters["registrations_expired"] += 1
                if newcomer.route.agent is None:
                    newcomer.route.close()
            elif newcomer.answered:
                self._decide(newcomer, now)
            elif now - newcomer.asked >= PING_INTERVAL:
                newcomer.asked = now
                newcomer.route.ping(newcomer.nonce)
