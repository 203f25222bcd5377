# -*- test-case-name: tests.agent.test_agent -*-
"""
Deferreds for those who wait.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred


def waiting(line: list[Deferred[None]]) -> Deferred[None]:
    """
    One more who waits, until it is cancelled.
    """
    deferred: Deferred[None] = Deferred(line.remove)
    line.append(deferred)
    return deferred


def after(other: Deferred[Any]) -> Deferred[None]:
    """
    Fires when the other one has.
    """
    deferred: Deferred[None] = Deferred()

    def fired(result: Any) -> Any:
        deferred.callback(None)
        return result

    other.addBoth(fired)
    return deferred
