"""
What every L{IStorage} answers.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from msgspec.structs import replace

from jobroute.errors import NoSuchJob
from jobroute.model import (
    CancelRequested,
    Frames,
    JobAccepted,
    JobEnded,
    JobFilter,
    JobHistory,
    JobSummary,
    PartialStored,
    PartQueued,
    PartRecord,
    PartReleased,
    PartState,
    Quarantined,
    Verdict,
)
from tests.storage.case import StorageCase
from tests.storage.samples import PAST, RETRY, accepted, attempt, ended, event, job_record, life


class ReadingTests(StorageCase):
    """
    What was written is read.
    """

    def test_life(self) -> None:
        """
        A job is found with all that happened to it.
        """
        payload: Frames = (b"", b"\x00\xff", b"x" * 100_000)
        self.broker.store(accepted(1, parts=2, payload=payload), event(1, 1, "job.accepted"))
        self.broker.store(attempt(2), event(2, 1, "attempt.made"), event(3), event(4, 99))
        self.broker.store(CancelRequested(3))
        wait = self.pump.wait
        running = PartRecord(2, 1, 0, None, PartState.RUNNING, 1, "a1", "ab" * 16)
        waiting = PartRecord(3, 1, 1, None, cancelling=True)
        self.assertEqual(wait(self.storage.parts(1)), (running, waiting))
        self.assertEqual(wait(self.storage.payload(1)), payload)
        self.assertEqual(wait(self.storage.result(2)), ())
        self.broker.store(ended(2, frames=payload), event(5, 1))
        self.broker.store(ended(3, Verdict.CANCELLED, frames=()), JobEnded(1, 1003.0), event(6, 1))
        done = PartRecord(
            2,
            1,
            0,
            None,
            PartState.DONE,
            1,
            "a1",
            "ab" * 16,
            False,
            Verdict.SUCCEEDED,
            None,
            1002.0,
            3,
        )
        gone = PartRecord(
            3,
            1,
            1,
            None,
            PartState.DONE,
            0,
            "a1",
            None,
            True,
            Verdict.CANCELLED,
            "it had to be",
            1002.0,
        )
        self.assertEqual(wait(self.storage.result(2)), payload)
        self.assertEqual(wait(self.storage.result(3)), ())
        events = tuple(
            event(n, 1, k)
            for n, k in (
                (1, "job.accepted"),
                (2, "attempt.made"),
                (5, "part.ended"),
                (6, "part.ended"),
            )
        )
        self.assertEqual(
            wait(self.storage.history(1)),
            JobHistory(job_record(1), (done, gone), 1003.0, events),
        )
        found = wait(self.storage.statistics())
        self.assertEqual(
            (set(found), found["jobs"], found["parts"], found["events"]),
            ({"jobs", "parts", "events", "bytes"}, 1, 2, 6),
        )

    def test_at_once(self) -> None:
        """
        It makes no difference whether all of it is in one write.
        """
        self.broker.store(*life(1), event(1, 1))
        (part,) = self.pump.wait(self.storage.parts(1))
        self.assertEqual((part.state, part.verdict, part.frames), ("done", "succeeded", 1))
        self.assertEqual(self.pump.wait(self.storage.history(1)).ended, 1002.0)
        self.assertEqual(self.reopened().jobs, ())

    def test_again(self) -> None:
        """
        A part goes back to the queue, and to another agent.
        """
        self.broker.store(accepted(1), attempt(2), PartialStored(2, 1, 1, (b"a",)))
        self.assertEqual(self.pump.wait(self.storage.parts(1))[0].partials, 1)
        self.broker.store(PartQueued(2))
        self.assertEqual(self.pump.wait(self.storage.parts(1))[0].state, PartState.QUEUED)
        self.broker.store(attempt(2, 2))
        (part,) = self.pump.wait(self.storage.parts(1))
        self.assertEqual((part.state, part.attempt, part.partials), ("running", 2, 0))

    def test_retried(self) -> None:
        """
        What an attempt left behind, and when the next one may be, is kept
        until the end; what is new of it replaces what was.
        """
        job = replace(job_record(1), retry=RETRY, max_lost=7, origin=5)
        part = PartRecord(2, 1, 0, None, past=evolve(PAST, losses=1))
        self.broker.store(JobAccepted(job, (part,), ()), attempt(2))
        self.broker.store(PartQueued(2, 1005.5))
        queued = replace(part, attempt=1, agent="a1", incarnation="ab" * 16, due=1005.5)
        restored = self.reopened()
        self.assertEqual(restored.jobs, ((replace(job, header=b"", digest=b""), (queued,)),))
        self.broker.store(attempt(2, 2), PartQueued(2, None, PAST))
        ((_, (found,)),) = self.reopened().jobs
        self.assertEqual((found.past, found.due), (PAST, None))
        last = evolve(PAST, losses=9)
        self.broker.store(evolve(ended(2, frames=()), past=last), JobEnded(1, 1003.0))
        self.assertEqual(self.pump.wait(self.storage.parts(1))[0].past, last)
        self.assertEqual(self.pump.wait(self.storage.history(1)).job, job)

    def test_quarantined(self) -> None:
        """
        Parts in quarantine are listed, the newest first, in pages, filtered;
        those that were released are not.
        """
        poison = Verdict.QUARANTINED
        self.broker.store(*life(1, poison), accepted(3, parts=2), ended(4, poison, frames=()))
        self.broker.store(*life(7, poison, namespace="other"), *life(9, poison, service="t"))
        self.broker.store(*life(11, poison), *life(13, Verdict.LOST), PartReleased(12))

        def page(*which: str | None, before: int | None = None, limit: int = 10) -> list[int]:
            found = self.storage.quarantined(*(which or (None, None)), before, limit)
            return [entry.part.number for entry in self.pump.wait(found)]

        self.assertEqual(page(), [10, 8, 4, 2])
        self.assertEqual(page(limit=1), [10])
        self.assertEqual(page(before=8), [4, 2])
        self.assertEqual(page("other", None), [8])
        self.assertEqual(page("default", "t"), [10])
        (entry,) = self.pump.wait(self.storage.quarantined("other", None, None, 9))
        (part,) = self.pump.wait(self.storage.parts(7))
        job = replace(job_record(7, namespace="other"), header=b"")
        self.assertEqual(entry, Quarantined(job, part))
        self.assertTrue(self.pump.wait(self.storage.parts(11))[0].released)
        self.assertFalse(part.released)

    def test_partials(self) -> None:
        """
        Partial results come in order, those of one attempt, a page at a time.
        """
        changes = [PartialStored(2, a, s, (b"%d" % s,)) for a in (1, 2) for s in (1, 2, 3)]
        self.broker.store(accepted(1), attempt(2), *changes[:3], attempt(2, 2), *changes[3:])
        read = self.storage.partials
        self.assertEqual(
            self.pump.wait(read(2, 2, 0, 10)), [(1, (b"1",)), (2, (b"2",)), (3, (b"3",))]
        )
        self.assertEqual(self.pump.wait(read(2, 1, 1, 1)), [(2, (b"2",))])
        self.assertEqual(self.pump.wait(read(2, 3, 0, 10)), [])
        self.assertEqual(self.pump.wait(read(7, 1, 0, 10)), [])
        ((_, (part,)),) = self.reopened().jobs
        self.assertEqual(part.partials, 3)

    def test_find(self) -> None:
        """
        Jobs are found by their ids in a namespace.
        """
        self.broker.store(*life(1, id="x"), accepted(3, id="x", namespace="other"))
        found = self.pump.wait(self.storage.find("default", ["x", "y", "x"]))
        self.assertEqual(found, {"x": job_record(1, "x")})
        found = self.pump.wait(self.storage.find("other", ["x", *map(str, range(1200))]))
        self.assertEqual(found, {"x": job_record(3, "x", namespace="other")})
        self.assertEqual(self.pump.wait(self.storage.find("default", [])), {})

    def test_jobs(self) -> None:
        """
        Jobs are listed newest first, in pages, filtered.
        """
        self.broker.store(accepted(11, parts=3), ended(12), ended(13, Verdict.LOST))
        self.broker.store(*life(1), *life(3, Verdict.FAILED, client="c2"))
        self.broker.store(*life(5, service="count", namespace="other"))

        def page(before: int | None = None, limit: int = 10, **which: Any) -> list[int]:
            found = self.pump.wait(self.storage.jobs(JobFilter(**which), before, limit))
            return [summary.job.number for summary in found]

        self.assertEqual(page(), [11, 5, 3, 1])
        self.assertEqual(page(limit=2), [11, 5])
        self.assertEqual(page(5, 1), [3])
        self.assertEqual(page(1), [])
        self.assertEqual(page(state="open"), [11])
        self.assertEqual(page(state="ended"), [5, 3, 1])
        self.assertEqual(page(namespace="other"), [5])
        self.assertEqual(page(client="c1"), [11, 5, 1])
        self.assertEqual(page(service="count", client="c2"), [])
        self.assertEqual(page(verdict=Verdict.LOST), [11])
        self.assertEqual(page(verdict=Verdict.SUCCEEDED), [11, 5, 1])
        self.assertEqual(page(11, verdict=Verdict.SUCCEEDED), [5, 1])
        self.assertEqual(page(verdict=Verdict.FAILED, state="ended", client="c2"), [3])
        self.assertEqual(page(3, verdict=Verdict.FAILED), [])
        first = self.pump.wait(self.storage.jobs(JobFilter(), None, 1))
        verdicts = {Verdict.SUCCEEDED: 1, Verdict.LOST: 1}
        self.assertEqual(first, [JobSummary(job_record(11, header=b""), 3, verdicts, None)])

    def test_no_such_job(self) -> None:
        """
        What is not there is said to be not there.
        """
        self.assertRaises(NoSuchJob, self.pump.wait, self.storage.payload(1))
        self.assertRaises(NoSuchJob, self.pump.wait, self.storage.history(1))
        self.assertEqual(self.pump.wait(self.storage.parts(1)), ())
        self.assertEqual(self.pump.wait(self.storage.result(1)), ())
