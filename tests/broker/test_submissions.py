"""
Tests of L{jobroute.broker.submissions}: the same id is the same job.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from jobroute.errors import StorageError
from jobroute.model import JobRecord
from tests.broker.kit import Kit


class Case(SynchronousTestCase):
    """
    Has a broker, whose disk may be slow.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.finds: list[tuple[list[str], Deferred[dict[str, JobRecord]]]] = []

    def slow(self) -> None:
        """
        Let lookups of ids take until the test answers them.
        """

        def find(disk: Any, namespace: str, ids: Any) -> Deferred[dict[str, JobRecord]]:
            self.finds.append((list(ids), Deferred()))
            return self.finds[-1][1]

        self.patch(type(self.kit.disk), "find", find)

    def many(self, *jobs: dict[str, Any], **common: Any) -> Any:
        """
        Submit many jobs to the service C{s}.
        """
        return self.kit.ask("SUBMIT_MANY", jobs=list(jobs), **{"service": "s", **common}).result[
            "jobs"
        ]


class IdTests(Case):
    """
    Idempotent ids.
    """

    def test_live(self) -> None:
        """
        The second submission of a job that goes on is answered with its
        state.
        """
        first = self.kit.submit(b"x", job="j").result
        self.assertEqual(first["existing"], False)
        same = {**first, "existing": True}
        self.assertEqual(self.kit.submit(b"x", job="j").result, {**same, "state": "queued"})
        agent = self.kit.agent()
        self.assertEqual(self.kit.submit(b"x", job="j").result, {**same, "state": "running"})
        agent.result()
        self.assertEqual(self.kit.submit(b"x", job="j").result, {**same, "state": "done"})
        self.assertEqual((self.kit.count("jobs_accepted"), self.kit.count("jobs_existing")), (1, 3))
        self.assertEqual(len(agent.deliveries), 1)

    def test_on_its_way(self) -> None:
        """
        The second is not answered before the first is on disk.
        """
        self.kit.hold = True
        replies = [self.kit.submit(b"x", job="j") for _ in range(2)]
        self.assertEqual([r.answers for r in replies], [[], []])
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual([r.result["existing"] for r in replies], [False, True])

    def test_claimed(self) -> None:
        """
        While an id is looked up, whoever submits it waits in line: the first
        has it, another job of that id is refused.
        """
        self.slow()
        replies = [self.kit.submit(payload, job="j") for payload in (b"x", b"x", b"y")]
        self.assertEqual([(r.answers, len(self.finds)) for r in replies], [([], 1)] * 3)
        self.finds[0][1].callback({})
        self.kit.settle()
        self.assertEqual([r.result["existing"] for r in replies[:2]], [False, True])
        self.assertEqual(replies[2].code, "job-conflict")

    def test_gathered(self) -> None:
        """
        Ids that come while others are looked up are looked up together.
        """
        self.slow()
        replies = [self.kit.submit(job=f"j{number}") for number in range(4)]
        self.assertEqual([ids for ids, _ in self.finds], [["j0"]])
        self.finds[0][1].callback({})
        self.assertEqual([ids for ids, _ in self.finds], [["j0"], ["j1", "j2", "j3"]])
        self.finds[1][1].callback({})
        self.kit.settle()
        self.assertEqual([r.result["existing"] for r in replies], [False] * 4)
        submissions: Any = self.kit.broker.registry._entries["SUBMIT"].command
        self.assertEqual(
            (submissions._submissions._claims, submissions._submissions._gathered), ({}, {})
        )

    def test_claims(self) -> None:
        """
        So many submissions of a client may wait for the store, and nothing
        is left of them.
        """
        self.kit = Kit(Limits(client_jobs=2))
        self.slow()
        replies = [self.kit.submit(job=id) for id in ("a", "a", "b")]
        other = self.kit.submit(job="b", client="other")
        self.assertEqual(replies[2].code, "busy")
        while self.finds:
            self.finds.pop(0)[1].callback({})
        self.kit.settle()
        self.assertEqual([r.result["existing"] for r in replies[:2]], [False, True])
        self.assertEqual(other.result["existing"], False)
        self.kit.submit(job="c")
        self.finds.pop(0)[1].callback({})
        self.assertEqual(self.kit.broker.verdicts.clients._claims, {})
        # Those that exist are told so, however many jobs the client has.
        self.assertEqual(self.kit.submit(job="a").result["existing"], True)

    def test_claiming_clients(self) -> None:
        """
        So many clients may.
        """
        self.kit = Kit(Limits(clients=2))
        self.slow()
        replies = [self.kit.submit(job=name, client=name) for name in "abc"]
        self.assertEqual([r.done for r in replies], [False, False, True])
        self.assertEqual(replies[2].code, "busy")

    def test_claimed_bytes(self) -> None:
        """
        So many bytes of all clients together may.
        """
        self.kit = Kit(Limits(claimed_bytes=10_000))
        self.slow()
        replies = [self.kit.submit(b"x" * 6_000, job=name) for name in "aab"]
        self.assertEqual([r.done for r in replies], [False, True, True])
        self.assertEqual(replies[2].code, "busy")
        self.finds.pop(0)[1].callback({})
        self.assertFalse(self.kit.submit(b"x" * 6_000, job="b").done)

    def test_conflict(self) -> None:
        """
        The same id with another job is refused, live or ended.
        """
        self.kit.submit(b"x", job="j")
        self.assertEqual(self.kit.submit(b"x", job="j", priority=1).code, "job-conflict")
        self.kit.agent().result()
        conflict = self.kit.submit(b"y", job="j")
        self.assertEqual(
            conflict.text,
            "There is another job j in namespace default; choose another id.",
        )

    def test_namespaces(self) -> None:
        """
        Ids of different namespaces never meet.
        """
        numbers = {
            self.kit.submit(job="j", namespace=n).result["number"] for n in ("n", "m", "default")
        }
        self.assertEqual(len(numbers), 3)

    def test_unreadable(self) -> None:
        """
        When ids cannot be looked up, that is said, and they are free again.
        """

        def find(disk: Any, namespace: str, ids: Any) -> Deferred[dict[str, JobRecord]]:
            return fail(self.error)

        original = type(self.kit.disk).find
        self.patch(type(self.kit.disk), "find", find)
        self.error: Exception = StorageError("The disk is gone.")
        self.assertEqual(self.kit.submit(job="j").code, "storage")
        self.error = ZeroDivisionError()
        self.assertEqual(self.kit.submit(job="j").code, "internal-error")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.patch(type(self.kit.disk), "find", original)
        self.assertTrue(self.kit.submit(job="j").result)

    def test_parts_unreadable(self) -> None:
        """
        Likewise when the parts of a job that ended cannot be read.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j")
        agent.result()
        self.patch(type(self.kit.disk), "parts", lambda disk, job: fail(StorageError("Gone.")))
        self.assertEqual(self.kit.submit(job="j").code, "storage")

    def test_counted(self) -> None:
        """
        A submission that the dispatcher refuses is told why.
        """
        for id in (None, "j"):
            more = {} if id is None else {"job": id}
            self.assertEqual(self.kit.submit(target="all", **more).code, "not-enough-agents")


class ManyTests(Case):
    """
    C{SUBMIT_MANY}.
    """

    def payloads(self) -> list[tuple[bytes, ...]]:
        """
        The payloads that an agent is given.
        """
        return [d.payload for d in self.kit.agent(slots=100).deliveries]

    def test_payloads(self) -> None:
        """
        The payloads stand one after the other in one frame.
        """
        reply = self.kit.ask(
            "SUBMIT_MANY",
            b"aabbbc",
            service="s",
            jobs=[{"frames": [2]}, {}, {"frames": [3, 0, 1]}],
        )
        self.assertEqual([j["existing"] for j in reply.result["jobs"]], [False] * 3)
        self.assertEqual(self.payloads(), [(b"aa",), (), (b"bbb", b"", b"c")])

    def test_wrong_payloads(self) -> None:
        """
        Sizes that don't fit refuse all, since nobody knows whose is what.
        """
        for jobs, payload in (
            ([{"frames": [3]}], [b"aa"]),
            ([{"frames": [1]}], [b"aa"]),
            ([{"frames": [2]}], []),
            ([{"frames": [10**30]}], [b"aa"]),
            ([{"frames": [2]}], [b"a", b"a"]),
            ([{"frames": [-1]}], [b"a"]),
            ([{"frames": [True]}], [b"a"]),
            ([{"frames": [1]}, []], [b"a"]),
            ([{"frames": [1]}, {"targt": 1}], [b"a"]),
        ):
            reply = self.kit.ask("SUBMIT_MANY", *payload, service="s", jobs=jobs)
            self.assertEqual(reply.code, "bad-property", jobs)
        self.assertEqual((self.kit.left(), self.payloads()), ({}, []))

    def test_named(self) -> None:
        """
        The job that is wrong is named.
        """
        reply = self.kit.ask("SUBMIT_MANY", service="s", jobs=[{}, {"priority": "high"}])
        self.assertEqual(reply.text, "jobs[1]: priority must be a whole number, not text.")

    def test_common(self) -> None:
        """
        Properties beside the jobs hold for all that have none of their own.
        """
        answers = self.many(
            {"job": "a"},
            {"job": "b", "priority": -5, "header": None, "run_limit": None},
            {"job": "c", "service": "t", "namespace": "m", "target": "any"},
            namespace="n",
            client="me",
            header={"h": 1},
            priority=7,
            attempts=3,
            queue_limit=5,
            run_limit=6,
            deadline=7,
            target={"count": 1},
        )
        self.assertEqual([a["job"] for a in answers], ["a", "b", "c"])
        said = [
            self.kit.ask("JOB", job=job, namespace=namespace).result
            for job, namespace in (("a", "n"), ("b", "n"), ("c", "m"))
        ]
        picked = [
            (s["service"], s["client"], s["header"], s["priority"], s["attempts"], s["run_limit"])
            for s in said
        ]
        self.assertEqual(
            picked,
            [
                ("s", "me", {"h": 1}, 7, 3, 6.0),
                ("s", "me", None, -5, 3, None),
                ("t", "me", {"h": 1}, 7, 3, 6.0),
            ],
        )

    def test_wrong_common(self) -> None:
        """
        What is wrong there is refused by name, and so is what cannot be
        common.
        """
        for wrong in ({"priority": "high"}, {"job": "j"}, {"frames": [1]}, {"targt": 1}):
            reply = self.kit.ask("SUBMIT_MANY", service="s", jobs=[{}], **wrong)
            self.assertEqual(reply.code, "bad-property")
            self.assertIn(next(iter(wrong)), reply.text)
        no_jobs: list[Any] = [[], {}, [1], None]
        for jobs in no_jobs:
            reply = self.kit.ask("SUBMIT_MANY", service="s", jobs=jobs)
            self.assertEqual(reply.code, "bad-property", jobs)
        self.assertEqual(self.kit.ask("SUBMIT_MANY").text, "jobs is missing.")

    def test_each_by_itself(self) -> None:
        """
        One that is refused does not refuse the others; answers are in order.
        """
        self.kit.submit(b"x", job="old")
        reply = self.kit.ask(
            "SUBMIT_MANY",
            b"xyz",
            service="s",
            jobs=[
                {"job": "new"},
                {"job": "old", "frames": [1]},
                {"job": "old", "frames": [1]},
                {"attempts": 10**6},
                {"target": "all"},
                {"job": "12"},
                {"job": "new"},
                {"frames": [1]},
            ],
        )
        answers = reply.result["jobs"]
        self.assertEqual(
            [a.get("code", a.get("existing")) for a in answers],
            [
                *(False, True, "job-conflict", "too-large"),
                *("not-enough-agents", "bad-property", True, False),
            ],
        )

    def test_none_accepted(self) -> None:
        """
        All may be refused.
        """
        answers = self.many({"attempts": 10**6}, {"job": "1"})
        self.assertEqual([a["code"] for a in answers], ["too-large", "bad-property"])

    def test_when_on_disk(self) -> None:
        """
        The answer comes when all are on disk.
        """
        self.slow()
        self.kit.hold = True
        reply = self.kit.ask("SUBMIT_MANY", service="s", jobs=[{}, {"job": "j"}, {}])
        self.kit.commit()
        self.assertEqual(reply.answers, [])
        self.finds[0][1].callback({})
        self.assertEqual(reply.answers, [])
        self.kit.commit()
        self.assertEqual(len(reply.result["jobs"]), 3)

    def test_limit(self) -> None:
        """
        So many jobs in one batch, and so many frames of one job.
        """
        self.kit = Kit(Limits(batch=3, frames=4))
        self.assertEqual(len(self.many({}, {}, {})), 3)
        self.assertEqual(self.kit.ask("SUBMIT_MANY", service="s", jobs=[{}] * 4).code, "too-large")
        answers = self.many({"frames": [0] * 3}, {"frames": [0] * 4})
        self.assertEqual([a.get("code") for a in answers], [None, "too-large"])

    def test_shared(self) -> None:
        """
        What is common is one object in all jobs.
        """
        for name in "ab":
            self.kit.agent(name, "other")
        self.many({"job": "j"}, {"job": "k"}, header="x" * 100, target={"agents": ["a", "b"]})
        first, second = self.kit.broker.verdicts.jobs.values()
        self.assertIs(first.header, second.header)
        self.assertIs(first.target, second.target)

    def test_parts(self) -> None:
        """
        So many parts, and agents named, in one batch: it is refused whole.
        """
        self.kit = Kit(Limits(batch_parts=5))
        for name in "ab":
            self.kit.agent(name)
        some: list[tuple[Any, int]] = [
            ("any", 5),
            ("all", 2),
            ({"agents": ["a", "b"]}, 2),
            ({"agents": ["a", "b"], "count": 1}, 2),
            ({"count": 2}, 2),
            ({"agents": ["b", "a"], "count": 2}, 1),
        ]
        for target, most in some:
            reply = self.kit.ask("SUBMIT_MANY", service="s", target=target, jobs=[{}] * (most + 1))
            self.assertEqual(reply.code, "too-large", target)
            answers = self.many(*[{}] * most, target=target)
            self.assertEqual([a["existing"] for a in answers], [False] * most, target)

    def test_headers(self) -> None:
        """
        A common header counts for each job that has it.
        """
        self.kit = Kit(Limits(message=1000))
        self.assertEqual(len(self.many(*[{}] * 9, header="x" * 98)), 9)
        reply = self.kit.ask("SUBMIT_MANY", service="s", header="x" * 98, jobs=[{}] * 11)
        self.assertEqual(reply.code, "too-large")
        self.assertEqual(len(self.many(*[{"header": 1}] * 11, header="x" * 98)), 11)
