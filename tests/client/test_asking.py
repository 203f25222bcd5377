"""
Tests for L{jobroute.client.asking}, L{jobroute.client.questions},
L{jobroute.client.checks}, L{jobroute.client.batches} and
L{jobroute.client.specs}.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute import config
from jobroute.client import checks
from jobroute.client.asking import Asking
from jobroute.client.outcomes import Submitted
from jobroute.client.questions import broker_url
from jobroute.client.request import Again, Request
from jobroute.client.specs import JobSpec, job_spec
from jobroute.config import Limits
from jobroute.errors import BadProperty, Busy, NotEnoughAgents, TooLarge
from jobroute.model import Retry, Target, Verdict
from jobroute.wire.native import decode_request, encode_request
from tests.client.rig import StoppedClock

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Base(SynchronousTestCase):
    """
    Has something that asks.
    """

    def setUp(self) -> None:
        """
        Make it.
        """
        self.clock = StoppedClock()
        self.asking = Asking("default", None, 30.0, Random(3), self.clock)

    def bad(self, what: str, *args: Any, **more: Any) -> None:
        """
        A job is refused with a sentence that names what is wrong.
        """
        spec = JobSpec(**{"service": "echo", **more})
        error = self.assertRaises(BadProperty, self.asking.submit, spec, timeout=None, retry=False)
        assert isinstance(error, BadProperty)
        self.assertTrue(str(error).startswith(what), str(error))
        self.assertTrue(str(error).endswith("."), str(error))


class AskingTests(Base):
    """
    From arguments to properties.
    """

    def test_url(self) -> None:
        """
        What is given wins over the environment, that over the default.
        """
        self.assertEqual(broker_url("tcp://h:1"), "tcp://h:1")
        self.patch(os, "environ", {"JOBROUTE_BROKER": "tcp://e:1", "HOME": "/h"})
        self.assertEqual(broker_url(None), "tcp://e:1")
        self.patch(os, "environ", {"HOME": "/h"})
        self.assertEqual(broker_url(None), config.frontend_url("/h/.local/state/jobroute"))

    def test_ids(self) -> None:
        """
        Ids are names, grow with time, and differ within a moment.
        """
        first, second = self.asking.new_id(), self.asking.new_id()
        self.clock.now += 0.001
        later = self.asking.new_id()
        self.assertNotEqual(first, second)
        self.assertGreater(later, max(first, second))
        for id in (first, second, later):
            self.assertEqual(checks.name("job", id), id)
            self.assertEqual(len(id), 27)

    def test_defaults_are_left_out(self) -> None:
        """
        What has its default is not said.
        """
        spec = JobSpec(service="echo", job="j")
        request = self.asking.submit(spec, timeout=None, retry=False)
        properties = {"namespace": "default", "service": "echo", "job": "j"}
        self.assertEqual(request.properties, properties)
        self.assertIsNone(request.retry)

    def test_everything(self) -> None:
        """
        What has not is.
        """
        spec = job_spec("echo", b"x", "j", "all", [1], -5, 3, (1, 2.5, 100), {"delay": 3}, 7)
        request = self.asking.submit(spec, timeout=7, retry=True)
        self.assertEqual(
            request.properties,
            {
                "namespace": "default",
                "service": "echo",
                "job": "j",
                "target": "all",
                "header": [1],
                "priority": -5,
                "attempts": 3,
                "queue_limit": 1,
                "run_limit": 2.5,
                "deadline": 100,
                "retry": {"delay": 3},
                "max_lost": 7,
            },
        )
        self.assertEqual(request.payload, (b"x",))
        self.assertEqual((request.timeout, request.retry), (7, 7))

    def test_retries(self) -> None:
        """
        What is worth another attempt, in each way to say it.
        """
        whole = {"on": ["failed", "lost"], "delay": 1, "factor": 2, "max_delay": 60, "jitter": 0.5}
        on = (Verdict.LOST, Verdict.FAILED)
        self.assertEqual(checks.retries(Retry(on)), whole)
        self.assertEqual(checks.retries({"on": {"failed"}}), {"on": ["failed"]})
        self.assertEqual(checks.retries({}), {})

    def test_targets(self) -> None:
        """
        Every way to say a target, and whether it is one part for sure.
        """
        two = ["a", "b"]
        for given_, said, single in [
            ("any", "any", True),
            ("all", "all", False),
            (1, {"count": 1}, True),
            (3, {"count": 3}, False),
            (two, {"agents": two}, False),
            (("a",), {"agents": ["a"]}, True),
            ({"agents": two, "count": 1}, {"agents": two, "count": 1}, True),
            (Target(), "any", True),
            (Target(count=None), "all", False),
            (Target(count=2), {"count": 2}, False),
            (Target(("a", "b"), None), {"agents": two}, False),
            (Target(("a", "b"), 1), {"agents": two, "count": 1}, True),
        ]:
            self.assertEqual(checks.target(given_), (said, single))

    def test_bad_jobs(self) -> None:
        """
        Each argument that is wrong is named.
        """
        loop: list[Any] = []
        loop.append(loop)
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("service", {"service": "-x"}),
            ("service", {"service": None}),
            ("service", {"service": "x" * 129}),
            ("service", {"service": "x\n"}),
            ("job", {"job": ""}),
            ("payload", {"payload": "text"}),
            ("payload", {"payload": [b"x", 3]}),
            ("target", {"target": "some"}),
            ("target", {"target": True}),
            ("target", {"target": {}}),
            ("target", {"target": {"agent": ["a"]}}),
            ("target", {"target": 1.5}),
            ("target.agents", {"target": []}),
            ("target.agents", {"target": ["a", "a"]}),
            ("target.agents", {"target": ["-"]}),
            ("target.count", {"target": 0}),
            ("target.count", {"target": {"count": None}}),
            ("header", {"header": float("nan")}),
            ("header", {"header": {1: 2}}),
            ("header", {"header": [object()]}),
            ("header", {"header": b"bytes"}),
            ("header", {"header": "\ud800"}),
            ("header", {"header": 2**64}),
            ("priority", {"priority": 1001}),
            ("priority", {"priority": 1.0}),
            ("attempts", {"attempts": 0}),
            ("queue_limit", {"queue_limit": 0}),
            ("run_limit", {"run_limit": "1"}),
            ("run_limit", {"run_limit": True}),
            ("deadline", {"deadline": 366 * 86400}),
            ("deadline", {"deadline": float("nan")}),
            ("retries", {"retries": "failed"}),
            ("retries", {"retries": {"often": 1}}),
            ("retries.on", {"retries": {"on": "failed"}}),
            ("retries.on", {"retries": {"on": ["expired"]}}),
            ("retries.delay", {"retries": {"delay": -1}}),
            ("retries.factor", {"retries": {"factor": 0.5}}),
            ("retries.jitter", {"retries": {"jitter": True}}),
            ("retries.max_delay", {"retries": {"max_delay": float("nan")}}),
            ("max_lost", {"max_lost": 0}),
            ("max_lost", {"max_lost": 1001}),
        ]
        for what, more in wrong:
            self.bad(what, **more)
        spec = JobSpec(service="echo", header=loop)
        self.assertRaises(TooLarge, self.asking.submit, spec, timeout=None, retry=False)

    def test_too_large(self) -> None:
        """
        A payload that fits into no message is not sent.
        """
        self.assertEqual(len(checks.payload([b""] * 61)), 61)
        self.assertRaises(TooLarge, checks.payload, [b""] * 62)
        self.patch(checks, "MOST_BYTES", 10)
        self.assertEqual(checks.payload(bytearray(10)), (bytes(10),))
        self.assertRaises(TooLarge, checks.payload, bytes(11))

    @settings(deadline=None)
    @given(_json)
    def test_any_header(self, header: Any) -> None:
        """
        Any JSON value is taken, and arrives as it is.
        """
        spec = JobSpec(service="echo", header=header)
        request = self.asking.call(spec, timeout=None, retry=False)
        frames = encode_request(1, request.command, request.properties, request.payload)
        body = msgspec.json.decode(decode_request([b"id", *frames], Limits()).body)
        self.assertEqual(body.get("header"), header)

    @settings(deadline=None)
    @given(st.from_type(object))
    def test_anything(self, value: Any) -> None:
        """
        Anything else is refused, and never breaks the checks.
        """
        for check in (checks.target, checks.header, checks.payload):
            try:
                check(value)
            except (BadProperty, TooLarge):
                continue

    def test_again(self) -> None:
        """
        What may be sent again is, a call is asked for by its token, an input
        is never.
        """
        spec = JobSpec(service="echo")
        call = self.asking.call(spec, timeout=None, retry=False)
        other = self.asking.call(spec, timeout=None, retry=False)
        self.assertIs(call.again, Again.WAIT)
        self.assertNotEqual(call.token, other.token)
        self.assertEqual(len(call.token or ""), 32)
        self.assertIs(self.asking.input("j", (), 0).again, Again.NEVER)
        self.assertIs(self.asking.cancel("j", None).again, Again.SAME)

    def test_retry_of_call(self) -> None:
        """
        A busy broker is asked until the timeout, the deadline, or the
        client's timeout.
        """
        for timeout, deadline, retry in [(5, 9, 5), (None, 9, 9), (None, None, 30)]:
            spec = JobSpec(service="echo", deadline=deadline)
            self.assertEqual(self.asking.call(spec, timeout=timeout, retry=True).retry, retry)


class BatchTests(Base):
    """
    Many jobs.
    """

    def requests(self, jobs: Any, **common: Any) -> list[Any]:
        """
        What the jobs are sent in.
        """
        spec = JobSpec(**{"service": "echo", **common})
        return list(self.asking.submit_many(jobs, spec, timeout=None, retry=False))

    def test_number(self) -> None:
        """
        A message has no more jobs than may be in one.
        """
        self.patch(checks, "MOST_JOBS", 3)
        requests = self.requests({} for _ in range(7))
        self.assertEqual([len(r.properties["jobs"]) for r in requests], [3, 3, 1])

    def test_sizes(self) -> None:
        """
        Nor more JSON, nor a larger payload; each is a message that the broker
        takes.
        """
        self.patch(checks, "MOST_HEADER", 1000)
        self.patch(checks, "MOST_BYTES", 1200)
        jobs = [{"header": "x" * (n % 300), "payload": bytes(n % 250)} for n in range(400)]
        requests = self.requests(jobs)
        self.assertEqual(sum(len(r.properties["jobs"]) for r in requests), 400)
        limits = Limits(header=1024, message=1300)
        for request in requests:
            frames = encode_request(10**9, request.command, request.properties, request.payload)
            decode_request([b"id", *frames], limits)

    def batch(self, retry: bool) -> Any:
        """
        Three jobs in one message.
        """
        jobs = [{"job": job, "payload": [job.encode()]} for job in "abc"]
        [request] = self.asking.submit_many(
            jobs, JobSpec(service="echo"), timeout=None, retry=retry
        )
        return request

    def test_busy(self) -> None:
        """
        Those that a busy broker refused are sent again, with their payloads,
        if that is asked for.
        """
        done = {"job": "b", "number": 1, "parts": 1, "existing": False}
        busy = [{"error": "Busy.", "code": "busy", "retry_after": after} for after in (1.5, 2.5)]
        request = self.batch(retry=True)
        error = self.assertRaises(Busy, request.decode, {"jobs": [busy[0], done, busy[1]]}, ())
        self.assertEqual(error.retry_after, 2.5)
        sent = [msgspec.json.decode(job) for job in request.properties["jobs"]]
        self.assertEqual([job["job"] for job in sent], ["a", "c"])
        self.assertEqual(request.payload, (b"ac",))
        assert request.rest is not None
        self.assertEqual([type(each) for each in request.rest()], [Busy, Submitted, Busy])
        refused = {"error": "No.", "code": "too-large"}
        said = request.decode({"jobs": [{**done, "job": "a"}, refused]}, ())
        self.assertEqual([type(each) for each in said], [Submitted, Submitted, TooLarge])
        self.assertEqual([each.job for each in said[:2]], ["a", "b"])
        said = self.batch(retry=False).decode({"jobs": [busy[0], done, done]}, ())
        self.assertEqual(said[0].retry_after, 1.5)

    def test_too_large_alone(self) -> None:
        """
        A job that fits into no message is refused alone.
        """
        self.patch(checks, "MOST_HEADER", 1000)
        (request,) = self.requests([{"job": "a"}, {"header": "x" * 1000}, {"job": "b"}])
        said = [{"job": job, "number": 1, "parts": 1, "existing": True} for job in "ab"]
        done = request.decode({"jobs": said}, ())
        self.assertEqual(done[0], Submitted("a", 1, 1, True))
        self.assertIsInstance(done[1], TooLarge)
        self.assertEqual(done[2], Submitted("b", 1, 1, True))

    def test_answers(self) -> None:
        """
        Each job has its own answer; a random id cannot have been there.
        """
        (request,) = self.requests([{}, {}])
        said = [
            {"job": "a", "number": 1, "parts": 1, "existing": True},
            {"error": "None.", "code": "not-enough-agents"},
        ]
        first, second = request.decode({"jobs": said}, ())
        self.assertEqual(first, Submitted("a", 1, 1, False))
        self.assertIsInstance(second, NotEnoughAgents)

    def test_all_wrong(self) -> None:
        """
        If every job is wrong there is nothing to send.
        """
        (errors,) = self.requests([{"priority": "x"}, {"job": "-"}])
        self.assertNotIsInstance(errors, Request)
        self.assertEqual([type(error) for error in errors], [BadProperty, BadProperty])
