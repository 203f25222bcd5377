"""
How every L{IStorage} lives: epochs, commits, what is forgotten, the end.
"""

from __future__ import annotations

import inspect

from attrs import evolve
from msgspec.structs import replace
from zope.interface.interface import Method
from zope.interface.verify import verifyObject

from jobroute.errors import NoSuchJob, StorageError, StorageLost
from jobroute.interfaces import IStorage
from jobroute.model import (
    AgentKnown,
    AgentLeft,
    AgentRecord,
    Content,
    Event,
    Forgotten,
    JobAccepted,
    NumbersTaken,
    PartialStored,
    PartRecord,
    Stopped,
    Target,
    Verdict,
)
from tests.storage.case import StorageCase
from tests.storage.samples import accepted, attempt, ended, event, job_record, life

#: Keeps everything.
KEEP = 10**9


class LivingTests(StorageCase):
    """
    Brokers come and go.
    """

    def test_interface(self) -> None:
        """
        It provides the interface, with the same names of arguments.
        """
        self.assertTrue(verifyObject(IStorage, self.storage))
        for name, declared in IStorage.namesAndDescriptions():
            assert isinstance(declared, Method)
            arguments = list(inspect.signature(getattr(self.storage, name)).parameters)
            self.assertEqual(arguments, list(declared.getSignatureInfo()["positional"]), name)

    def test_empty(self) -> None:
        """
        An empty store gives a first epoch, and a first block of numbers.
        """
        self.assertEqual((self.first.epoch, self.first.numbers, self.first.event), (1, 1, 0))
        self.assertEqual((self.first.agents, self.first.jobs), ((), ()))
        self.assertTrue(self.first.limit > 1000)

    def test_epoch(self) -> None:
        """
        Each opening is a new epoch, and no number is used again.
        """
        second = self.reopened()
        self.assertEqual((second.epoch, second.numbers), (2, self.first.limit))
        self.broker.store(NumbersTaken(10 * second.limit), NumbersTaken(5))
        third = self.reopened()
        self.assertEqual((third.epoch, third.numbers), (3, 10 * second.limit))

    def test_committed(self) -> None:
        """
        What is committed is told in a later turn, in order, up to the last.
        """
        for number in range(1, 100, 2):
            self.broker.write(accepted(number))
        self.assertEqual(self.broker.positions, [])
        self.broker.settle()
        self.assertEqual(self.broker.positions, sorted(set(self.broker.positions)))
        self.assertEqual(self.broker.troubles, [])

    def test_nothing(self) -> None:
        """
        A write of no changes is committed as well.
        """
        self.broker.store()

    def test_restored(self) -> None:
        """
        A broker finds again what has not ended, and nothing else.
        """
        target = Target(("a1", "a2"), None)
        parts = (PartRecord(12, 11, 0, ("a1",)), PartRecord(13, 11, 1, ("a2",)))
        several = JobAccepted(job_record(11, target=target), parts, ())
        some = [
            JobAccepted(job_record(n, target=t), (), ())
            for n, t in ((21, Target(None, 3)), (22, Target(None, None)), (23, Target(("x",))))
        ]
        self.broker.store(*life(1), accepted(3), several, *some)
        self.broker.store(attempt(12), ended(12, Verdict.FAILED), event(1), event(2))
        restored = self.reopened()
        self.assertEqual(restored.event, 2)
        found = {job.number: parts for job, parts in restored.jobs}
        known = [job_record(3), several.job, *(s.job for s in some)]
        # Headers and digests stay on disk.
        self.assertEqual(
            [job for job, _ in restored.jobs],
            [replace(job, header=b"", digest=b"") for job in known],
        )
        self.assertEqual([part.number for part in found[3]], [4])
        failed, queued = found[11]
        self.assertEqual((failed.number, failed.verdict), (12, Verdict.FAILED))
        self.assertEqual(queued, parts[1])
        self.assertEqual([found[s.job.number] for s in some], [(), (), ()])
        self.assertEqual(self.pump.wait(self.storage.payload(11)), ())
        self.assertEqual(
            self.pump.wait(self.storage.contents([3, 11, 99])),
            {3: Content(job_record(3).header, (b"p",)), 11: Content(several.job.header, ())},
        )

    def test_agents(self) -> None:
        """
        Agents are found again, with whether they lived.
        """
        one = AgentRecord("a1", 5, "ab" * 16, b'{"pid": 1}')
        two = AgentRecord("a2", 6, "cd" * 16, b"{}")
        again = AgentRecord("a1", 5, "ef" * 16, b"{}")
        self.broker.store(AgentKnown(two, 1.0), AgentKnown(one, 1.0), AgentLeft("a2"))
        left = AgentRecord("a2", 6, "cd" * 16, b"{}", False)
        self.assertEqual(self.reopened().agents, (one, left))
        self.broker.store(AgentLeft("a1"), AgentKnown(again, 2.0), AgentLeft("nobody"))
        self.assertEqual(self.reopened().agents, (again, left))
        self.broker.store(AgentLeft("a1"), AgentKnown(two, 3.0))
        self.assertEqual([agent.living for agent in self.reopened().agents], [False, True])

    def test_stopped(self) -> None:
        """
        What operators stopped is found again, in order, until it goes on.
        """
        for what, name in (("service", "s"), ("agent", "s"), ("agent", "a"), ("agent", "s")):
            self.broker.store(Stopped(what, name, True))
        self.broker.store(Stopped("service", "nobody", False))
        stopped = (("agent", "a"), ("agent", "s"), ("service", "s"))
        self.assertEqual(self.reopened().stopped, stopped)
        self.broker.store(Stopped("agent", "s", False), Stopped("agent", "b", True))
        self.broker.store(Stopped("agent", "b", False), Stopped("agent", "b", True))
        self.assertEqual(
            self.reopened().stopped, (("agent", "a"), ("agent", "b"), ("service", "s"))
        )

    def test_forgotten(self) -> None:
        """
        Ended jobs go by age and by number, the oldest first, with all that
        hangs on them.  What has not ended stays.
        """
        self.broker.store(accepted(101))
        for number in (1, 3, 5, 7):
            self.broker.store(*life(number, at=100.0 - number))
        self.broker.store(attempt(102), PartialStored(102, 1, 1, (b"a",)))
        self.forget(Forgotten(94.0, KEEP, KEEP), 4, 0)
        self.assertRaises(NoSuchJob, self.pump.wait, self.storage.payload(7))
        self.assertEqual(self.pump.wait(self.storage.result(8)), ())
        self.assertEqual(self.pump.wait(self.storage.find("default", ["7"])), {})
        self.forget(Forgotten(0.0, 1, KEEP), 2, 0)
        self.assertEqual(self.pump.wait(self.storage.payload(1)), (b"p",))
        self.forget(Forgotten(KEEP, 0, KEEP), 1, 0)
        self.assertEqual(self.pump.wait(self.storage.statistics())["parts"], 1)
        self.assertEqual(len(self.pump.wait(self.storage.partials(102, 1, 0, 9))), 1)
        self.broker.store(*life(7))

    def test_forgotten_events(self) -> None:
        """
        The oldest events go; their numbers are not used again.
        """
        self.broker.store(accepted(1), *(event(n, n % 2 or None) for n in range(1, 11)))
        self.forget(Forgotten(0.0, KEEP, 4), 1, 4)
        events = self.pump.wait(self.storage.history(1)).events
        self.assertEqual([event.number for event in events], [7, 9])
        self.forget(Forgotten(0.0, KEEP, 0), 1, 0)
        self.assertEqual(self.reopened().event, 10)
        self.broker.store(event(11, 1))
        self.assertEqual(len(self.pump.wait(self.storage.history(1)).events), 1)

    def test_nothing_aside(self) -> None:
        """
        Nothing is set aside that nobody wants set aside.
        """
        self.assertIsNone(self.first.aside)
        self.broker.store(accepted(1))
        self.assertIsNone(self.reopened().aside)

    def test_forgotten_by_count(self) -> None:
        """
        A gap between the numbers of events counts for nothing.
        """
        self.broker.store(accepted(1), *(event(n, 1) for n in (1, 2, 3, 10**15, 10**15 + 1)))
        self.forget(Forgotten(0.0, KEEP, 4), 1, 4)
        events = self.pump.wait(self.storage.history(1)).events
        self.assertEqual([event.number for event in events], [2, 3, 10**15, 10**15 + 1])
        self.assertEqual(self.reopened().event, 10**15 + 1)

    def test_event_of_a_part(self) -> None:
        """
        An event that only knows its part is in the history of the part's job.
        """
        lonely = Event(1, 1003.5, "reply.refused", None, 2, 1, "a1")
        self.broker.store(accepted(1), ended(2), lonely, Event(2, 1004.0, "other", None, 77))
        self.broker.store(evolve(lonely, number=3))
        events = self.pump.wait(self.storage.history(1)).events
        self.assertEqual([(event.number, event.job) for event in events], [(1, 1), (3, 1)])
        self.forget(Forgotten(0.0, KEEP, 0), 1, 0)
        self.assertEqual(self.pump.wait(self.storage.history(1)).events, ())

    def test_contradiction(self) -> None:
        """
        When the broker writes what contradicts the store it has to end: it
        goes on with something that is not stored.  Reads go on.
        """
        for contradiction in (
            accepted(1, id="new"),
            accepted(9, id="1"),
            PartialStored(77, 1, 1, (b"a",)),
            ended(77),
            event(1),
        ):
            if not self.broker.positions:
                self.broker.store(accepted(1), event(1))
            self.broker.troubles.clear()
            self.broker.write(contradiction)
            self.broker.write(accepted(50))
            self.pump.until(lambda: self.broker.troubles)
            self.assertIsInstance(self.broker.troubles[-1], StorageLost)
            self.assertEqual(self.pump.wait(self.storage.payload(1)), (b"p",))
            self.assertRaises(NoSuchJob, self.pump.wait, self.storage.payload(50))
            self.assertNotIn(self.broker.position, self.broker.positions)
            self.assertRaises(StorageError, self.broker.close)
            self.broker.open()
            self.broker.positions.append(0)

    def test_closed(self) -> None:
        """
        What was written is there after C{close}, and then nothing goes.
        """
        self.broker.write(accepted(1))
        self.broker.close()
        self.broker.close()
        self.assertRaises(StorageError, self.storage.write, 9, ())
        self.assertRaises(StorageError, self.pump.wait, self.storage.payload(1))
        self.assertEqual(len(tuple(self.broker.open().jobs)), 1)

    def test_closed_twice(self) -> None:
        """
        Two that close it at once are told both.
        """
        closing = [self.storage.close(), self.storage.close()]
        for closed in closing:
            self.assertEqual(self.pump.wait(closed), None)

    def test_opened_twice(self) -> None:
        """
        It is open once at a time.
        """
        again = self.storage.open(self.broker.positions.append, self.broker.troubles.append)
        self.assertRaises(StorageError, self.pump.wait, again)
        self.broker.store(accepted(1))
