# -*- test-case-name: tests.agent.test_builtin -*-
"""
Services to try things out with: C{jobroute agent --service
echo=jobroute.agent.builtin:echo}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.reflect import namedAny

from jobroute.agent.context import Context
from jobroute.agent.functions import service
from jobroute.errors import ConfigurationError


@service("echo", in_reactor=True)
def echo(payload: Any, context: Context) -> Any:
    """
    Give the payload back, all frames of it.
    """
    return context.frames


def _seconds(payload: bytes | list[bytes]) -> float:
    try:
        seconds = float(payload) if isinstance(payload, bytes) else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 31_536_000:
        raise ConfigurationError("The payload of sleep is a number of seconds under a year.")
    return seconds


@service("sleep", in_reactor=True)
def sleep(payload: Any, context: Context) -> Deferred[bytes]:
    """
    Wait for as many seconds as the payload says, and give it back.  Can be
    cancelled.
    """
    reactor = namedAny("twisted.internet.reactor")
    return sleep_in(reactor, payload)


def sleep_in(reactor: IReactorTime, payload: Any) -> Deferred[bytes]:
    """
    The same on a reactor of choice.
    """
    seconds = _seconds(payload)
    slept: Deferred[bytes] = Deferred(lambda _: timer.cancel())
    timer = reactor.callLater(seconds, slept.callback, payload)
    return slept


@service("fail", in_reactor=True)
def fail(payload: Any) -> None:
    """
    Fail, with the payload as the reason.
    """
    text = payload if isinstance(payload, bytes) else b"asked to"
    raise RuntimeError(text.decode("utf-8", "replace"))
