"""
Tests of L{jobroute.broker.admission} and L{jobroute.broker.clients}: at each
limit, and one past it.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.admission import digest
from jobroute.broker.clients import Clients
from jobroute.config import Limits
from jobroute.errors import Busy, StorageError
from jobroute.model import JobRequest, Target
from jobroute.model import Limits as TimeLimits
from tests.broker.kit import Kit


class LimitTests(SynchronousTestCase):
    """
    Full means told, and nothing that was accepted is dropped.
    """

    def test_queued_parts(self) -> None:
        """
        So many parts in the queue of one service; others have their own.
        """
        kit = Kit(Limits(queued_parts=3))
        agents = [kit.agent(name, slots=1) for name in "ab"]
        for _ in range(2):
            kit.submit()
        for _ in range(3):
            kit.submit()
        for refused in (kit.submit(), kit.call(), kit.submit(target="all")):
            self.assertEqual(refused.code, "busy")
        self.assertTrue(kit.submit(service="t").result)
        agents[0].result()
        self.assertTrue(kit.submit(priority=9).result)
        self.assertEqual(kit.submit().code, "busy")

    def test_queued_parts_of_one_job(self) -> None:
        """
        One job of more parts than that, for a service that nobody offers.
        """
        kit = Kit(Limits(queued_parts=2))
        names = [kit.agent(name, "t").name for name in "abc"]
        self.assertEqual(kit.submit(target={"agents": names}).code, "busy")
        self.assertTrue(kit.submit(target={"agents": names[:2]}).result)

    def test_services(self) -> None:
        """
        So many services, offered or waited for.
        """
        kit = Kit(Limits(services=2))
        kit.agent("a", "offered")
        kit.submit(service="wanted", job="w")
        refused = kit.submit(service="third")
        self.assertEqual(
            (refused.code, refused.text), ("busy", "There are 2 services, and that is the limit.")
        )
        kit.submit(service="offered")
        kit.ask("CANCEL", job="w")
        self.assertTrue(kit.submit(service="third").result)

    def test_client_jobs(self) -> None:
        """
        So many jobs of one client that have not ended, calls included.
        """
        kit = Kit(Limits(client_jobs=2))
        agent = kit.agent()
        kit.submit(client="c")
        kit.call(client="c")
        self.assertEqual(kit.submit(client="c").code, "busy")
        self.assertTrue(kit.submit(client="d").result)
        agent.result()
        self.assertTrue(kit.submit(client="c").result)
        self.assertEqual(kit.call(client="c").code, "busy")

    def test_clients(self) -> None:
        """
        So many clients with jobs.
        """
        kit = Kit(Limits(clients=2))
        kit.submit(client="c")
        kit.submit(client="d")
        self.assertTrue(kit.submit(client="c").result)
        self.assertEqual(kit.submit(client="e").code, "busy")

    def test_attempts(self) -> None:
        """
        So many attempts.
        """
        kit = Kit(Limits(attempts=3))
        self.assertTrue(kit.submit(attempts=3).result)
        self.assertEqual(kit.submit(attempts=4).code, "too-large")
        for attempts in (0, -1, True, 1.5, "2", None):
            self.assertEqual(kit.submit(attempts=attempts).code, "bad-property", attempts)

    def test_targets(self) -> None:
        """
        So many names.
        """
        kit = Kit(Limits(targets=2))
        names = [kit.agent(name).name for name in "abc"]
        self.assertTrue(kit.submit(target={"agents": names[:2]}).result)
        self.assertEqual(kit.submit(target={"agents": names}).code, "too-large")

    def test_frames(self) -> None:
        """
        So many frames, the header's included.
        """
        kit = Kit(Limits(frames=4))
        self.assertTrue(kit.submit(b"", b"", b"").result)
        self.assertEqual(kit.submit(b"", b"", b"", b"").code, "too-large")

    def test_journal(self) -> None:
        """
        So many changes that are not on disk yet; calls need no disk.
        """
        kit = Kit(Limits(journal=10))
        kit.hold = True
        replies = [kit.submit() for _ in range(20)]
        refused = [r for r in replies if r.answers]
        self.assertTrue(refused)
        self.assertEqual({r.code for r in refused}, {"storage-unavailable"})
        self.assertGreater(kit.broker.journal.backlog, 10)
        self.assertLess(kit.broker.journal.backlog, 14)
        self.assertEqual(kit.call().answers, [])
        kit.hold = False
        kit.settle()
        self.assertTrue(all(r.done for r in replies))
        self.assertTrue(kit.submit().result)

    def test_trouble(self) -> None:
        """
        While the disk cannot write, nothing new is stored; it says why.
        """
        kit = Kit()
        kit.trouble(StorageError("The disk is full: make room."))
        refused = kit.submit()
        self.assertEqual(refused.code, "storage-unavailable")
        self.assertIn("The disk is full: make room.", refused.text)
        self.assertEqual(kit.call().answers, [])
        kit.trouble(None)
        self.assertTrue(kit.submit().result)

    def test_stopping(self) -> None:
        """
        A broker that stops takes nothing new, and answers what it knows.
        """
        kit = Kit()
        kit.submit(b"x", job="j")
        kit.broker.admission.stopping = True
        self.assertEqual([kit.submit().code, kit.call().code], ["stopping"] * 2)
        self.assertTrue(kit.submit(b"x", job="j").result["existing"])

    def test_refused_whole(self) -> None:
        """
        What is refused has changed nothing.
        """
        kit = Kit(Limits(client_jobs=1))
        kit.submit(client="c")
        before = (kit.left(), kit.broker.journal.position, len(kit.broker.services))
        self.assertEqual(kit.submit(client="c", service="new").code, "busy")
        self.assertEqual(
            (kit.left(), kit.broker.journal.position, len(kit.broker.services)), before
        )


class TimeLimitTests(SynchronousTestCase):
    """
    Durations.
    """

    def test_durations(self) -> None:
        """
        Positive and under a year; a number, and no boolean.
        """
        kit = Kit()
        wrong: list[Any] = [0, -1, 31_536_000, True, "1", [], 1e300]
        for name in ("queue_limit", "run_limit", "deadline"):
            for good in (0.001, 1, 31_535_999, None):
                self.assertTrue(kit.submit(**{name: good}).result)
            for bad in wrong:
                reply = kit.submit(**{name: bad})
                self.assertEqual(reply.code, "bad-property", (name, bad))
                self.assertTrue(reply.text.startswith(f"{name} must be a number"), reply.text)

    def test_priority(self) -> None:
        """
        Priorities.
        """
        kit = Kit()
        for good in (-1000, 1000):
            self.assertTrue(kit.submit(priority=good).result)
        for bad in (-1001, 1001, 0.5, False, "1"):
            self.assertEqual(kit.submit(priority=bad).code, "bad-property", bad)

    def test_names(self) -> None:
        """
        Names of everything.
        """
        kit = Kit()
        for name in ("service", "job", "namespace", "client"):
            for good in ("a", "A-b_c.d", "0x", "x" * 128):
                self.assertTrue(kit.submit(**{name: good}).result)
            for bad in ("", "-a", ".a", "a b", "a\n", "é", "x" * 129, 7, "a/b"):
                reply = kit.submit(**{name: bad})
                self.assertEqual(reply.code, "bad-property", (name, bad))
                self.assertTrue(reply.text.startswith(name), reply.text)

    def test_number_as_id(self) -> None:
        """
        Ids of digits alone are the broker's.
        """
        kit = Kit()
        self.assertEqual(
            kit.submit(job="17").text, "job is 17, and ids of digits alone are the broker's."
        )
        id = kit.submit().result["job"]
        self.assertTrue(id.isdecimal())
        self.assertEqual(kit.ask("CANCEL", job=id).result["cancelling"], 1)


class DigestTests(SynchronousTestCase):
    """
    What makes a job that job.
    """

    def test_everything(self) -> None:
        """
        Each of its properties but its names and its client.
        """
        job = JobRequest("s", payload=(b"ab", b"c"))
        changes = [
            {"service": "t"},
            {"target": Target(None, 2)},
            {"target": Target(("a",), 1)},
            {"header": b"1"},
            {"payload": (b"a", b"bc")},
            {"payload": (b"abc",)},
            {"payload": (b"ab", b"c", b"")},
            {"priority": 1},
            {"attempts": 2},
            {"limits": TimeLimits(queue=1.0)},
            {"limits": TimeLimits(run=1.0)},
            {"limits": TimeLimits(deadline=1.0)},
        ]
        digests = [digest(job), *(digest(attrs.evolve(job, **c)) for c in changes)]  # type: ignore[arg-type]
        self.assertEqual(len(set(digests)), len(digests))
        same = attrs.evolve(job, client="other", id="other", namespace="other")
        self.assertEqual(digest(same), digest(job))


class ClientsTests(SynchronousTestCase):
    """
    Counting by client.
    """

    def test_nothing_left(self) -> None:
        """
        A client with nothing outstanding is forgotten.
        """
        clients = Clients(Limits(waits=1))
        clients.job("c")
        clients.job("c")
        clients.wait("c")
        self.assertRaises(Busy, clients.wait, "c")
        self.assertEqual(len(clients), 1)
        clients.job_over("c")
        clients.job_over("c")
        clients.wait_over("c")
        clients.wait_over("never")
        self.assertEqual((len(clients), clients._waits), (0, {}))
