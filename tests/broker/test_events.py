"""
Tests of L{jobroute.broker.events}.
"""

from __future__ import annotations

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jobroute.interfaces import IObserver
from jobroute.model import Event
from tests.broker.kit import Kit


@implementer(IObserver)
@define
class Observer:
    """
    Remembers, or fails.
    """

    fails: bool = False
    seen: list[Event] = field(factory=list)

    def observed(self, event: Event) -> None:
        """
        See L{IObserver.observed}.
        """
        self.seen.append(event)
        if self.fails:
            raise ZeroDivisionError


class EventsTests(SynchronousTestCase):
    """
    Facts, numbered and told.
    """

    def test_told_when_stored(self) -> None:
        """
        Observers are told in order, each event when it is on disk; one that
        fails disturbs no other.
        """
        broken, observer = Observer(fails=True), Observer()
        verifyObject(IObserver, observer)
        kit = Kit(observers=(broken, observer))
        seen = len(observer.seen)
        kit.hold = True
        kit.submit(job="j")
        self.assertEqual(len(observer.seen), seen)
        kit.hold = False
        kit.settle()
        kit.agent().result()
        self.assertEqual(observer.seen, broken.seen)
        self.assertEqual(
            [event.kind for event in observer.seen],
            ["broker.started", "job.accepted", "agent.registered", "part.delivered", "part.ended"],
        )
        self.assertEqual([event.number for event in observer.seen], [1, 2, 3, 4, 5])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 5)
