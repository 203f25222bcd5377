# -*- test-case-name: tests.broker.test_events -*-
"""
Facts: numbered, stored, and then told to whoever observes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field

from jobroute.broker.journal import Journal
from jobroute.interfaces import IObserver
from jobroute.log import Logger
from jobroute.model import Event


@define(eq=False, repr=False)
class Events:
    """
    @ivar number: the number of the latest event.
    """

    _log = Logger()

    _journal: Journal
    _wall: Callable[[], float]
    _observers: Sequence[IObserver] = ()
    number: int = field(default=0, init=False)

    def record(
        self,
        kind: str,
        job: int | None = None,
        part: int | None = None,
        attempt: int | None = None,
        agent: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        """
        Store that something happened, and tell it when it is stored.
        """
        self.number += 1
        event = Event(self.number, self._wall(), kind, job, part, attempt, agent, data)
        self._journal.append(event)
        if self._observers:
            self._journal.park(self._tell, event)

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer.observed(event)
            except Exception:
                self._log.failure("An observer failed at event {number}.", number=event.number)
