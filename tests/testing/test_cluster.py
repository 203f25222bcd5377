"""
Tests of L{jobroute.testing.cluster}, as a user would write them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

import jobroute
from jobroute.agent import Context, Refuse, service
from jobroute.client import TwistedClient
from jobroute.errors import BrokerLost, ConfigurationError, JobConflict
from jobroute.log import Logger
from jobroute.testing import NeverDone, cluster
from jobroute.testing.cluster import Cluster

ROOT = Path(jobroute.__file__).parent.parent


def double(payload: bytes) -> bytes:
    """
    A plain function.
    """
    return payload * 2


class ServiceTests(SynchronousTestCase):
    """
    All kinds of functions serve.
    """

    def test_plain(self) -> None:
        """
        One that would run in a thread, with a context or without.
        """

        def with_context(payload: bytes, context: Context) -> str:
            context.progress("half")
            context.partial(b"first")
            return context.job

        seen: list[Any] = []
        with cluster(services={"double": double, "context": with_context}) as c:
            self.assertEqual(c.call("double", b"ab").data, b"abab")
            outcome = c.call(
                "context", on_progress=seen.append, on_partial=lambda p: seen.append(p.frames)
            )
            self.assertEqual(outcome.data, outcome.job.encode())
        self.assertEqual(seen[1], (b"first",))
        self.assertEqual(seen[0].value, "half")

    def test_waiting(self) -> None:
        """
        One that is a coroutine, and one that returns a Deferred: both wait in
        simulated time.
        """

        async def slow(payload: bytes) -> bytes:
            await c.sleep(600)
            return payload

        @service(in_reactor=True)
        def deferred(payload: bytes) -> Any:
            return c.sleep(5).addCallback(lambda _: payload)

        with cluster(services={"slow": slow, "deferred": deferred}) as c:
            self.assertEqual(c.call("deferred", b"x").data, b"x")
            before = c.now
            self.assertEqual(c.submit("slow", b"y").outcome(within=700).data, b"y")
            self.assertTrue(600 < c.now - before < 601)

    def test_failing(self) -> None:
        """
        One that fails or refuses: that is an outcome, and nothing is logged
        that would fail the test.
        """

        def wrong(payload: bytes) -> None:
            if payload:
                raise Refuse("No.")
            raise KeyError("x")

        with cluster(services={"wrong": wrong}) as c:
            self.assertEqual(c.call("wrong").parts[0].reason, "KeyError: 'x'")
            self.assertEqual(c.call("wrong", b"x").parts[0].verdict, "refused")
            c.check()

    def test_chosen(self) -> None:
        """
        Agents may differ.
        """
        members: dict[str, dict[str, Any]] = {
            "big": {"slots": 4, "labels": {"gpu": "1"}},
            "odd": {"services": {"odd": double}},
        }
        with cluster(members, {"double": double}, heartbeat_interval=1.0) as c:
            agents = c.client.agents()
            self.assertEqual((agents["big"]["slots"], agents["big"]["labels"]), (4, {"gpu": "1"}))
            self.assertEqual(agents["odd"]["services"], ["odd"])
            self.assertEqual(c.call("odd", b"x", target=["odd"]).data, b"xx")

    def test_wrong_settings(self) -> None:
        """
        What is wrong is refused, by name.
        """
        error = self.assertRaises(ConfigurationError, cluster, heart=3)
        self.assertIn("heart", str(error))
        with cluster(services={"double": double}) as c:
            self.assertIn("There is no b7", str(self.assertRaises(ValueError, c.kill, "b7")))


class FaultTests(SynchronousTestCase):
    """
    Everything may go wrong, for hours that take no time.
    """

    def test_fifty(self) -> None:
        """
        Fifty agents, a partition of three hours, crashes: all is done.
        """
        with cluster(agents=50, services={"double": double}) as c:
            job = c.submit("double", b"ab", attempts=2)
            c.partition("a7")
            c.advance(hours=3)
            self.assertNotIn("a7", c.client.agents())
            self.assertEqual(len(c.client.agents()), 49)
            c.heal("a7")
            c.crash_broker()
            c.restart_broker()
            c.kill("a3")
            c.freeze("a4", seconds=10)
            self.assertTrue(job.outcome().succeeded)
            c.advance(minutes=5)
            self.assertEqual(len(c.client.agents()), 49)
            self.assertIn("a7", c.client.agents())
            c.start("a3")
            c.until_registered()
            self.assertEqual(len(c.client.agents()), 50)
            c.check()

    def test_nobody_suffers_from_a_leap(self) -> None:
        """
        Time that is leapt over is no silence, and limits are not: a job that
        waits expires when it should.
        """
        with cluster(agents=3, services={"double": double}) as c:
            began = c.now
            c.partition("a1")
            job = c.submit("double", target=["a1"], attempts=9, deadline=5 * 3600)
            c.advance(hours=4, minutes=59)
            self.assertEqual(job.why()[0]["why"], "Agent a1 is not connected.")
            self.assertEqual(c.client.stats()["counters"]["agents_lost"], 1)
            self.assertEqual(c.client.stats()["counters"]["registrations"], 3)
            c.advance(minutes=1, seconds=2)
            self.assertEqual(job.outcome().parts[0].verdict, "expired")
            self.assertEqual(round(c.now - began), 5 * 3600 + 2)

    def test_timers_of_the_test(self) -> None:
        """
        Those are not leapt over either.
        """
        with cluster(agents=2, services={"double": double}) as c:
            moments: list[float] = []
            for hours in (1, 2):
                c.sleep(hours * 3600).addCallback(lambda _: moments.append(c.now))
            began = c.now
            c.advance(days=1)
            self.assertEqual([round(m - began) for m in moments], [3600, 7200])
            self.assertEqual(round(c.now - began), 86400)

    def test_retention(self) -> None:
        """
        Settings of the broker hold in simulated time.
        """
        with cluster(services={"double": double}, retention=3600.0) as c:
            job = c.submit("double")
            self.assertTrue(job.outcome().succeeded)
            c.advance(minutes=50)
            self.assertTrue(job.done)
            c.advance(minutes=20)
            self.assertEqual(c.client.jobs().jobs, ())

    def test_stop(self) -> None:
        """
        A stop in order, of an agent and of the broker.
        """
        with cluster(agents=2, services={"double": double}) as c:
            c.stop("a2")
            self.assertEqual(list(c.client.agents()), ["a1"])
            c.stop("broker")
            self.assertFalse(c.broker.up)
            c.restart_broker()
            c.start("a2")
            c.until_registered()
            self.assertEqual(sorted(c.client.agents()), ["a1", "a2"])

    def test_in_order(self) -> None:
        """
        The same seed, the same course; another, another.
        """

        def course(seed: int) -> list[Any]:
            with cluster(agents=5, services={"double": double}, seed=seed) as c:
                jobs = [c.submit("double", b"x", attempts=3) for _ in range(5)]
                c.kill("a2")
                return [(job.id, job.outcome().parts[0].agent, c.now) for job in jobs]

        self.assertEqual(course(1), course(1))
        self.assertNotEqual(course(1), course(2))


class NeverDoneTests(SynchronousTestCase):
    """
    What does not happen is told with its reason.
    """

    def test_reason(self) -> None:
        """
        The broker says why a job waits; the cluster, who is down.
        """
        with cluster(agents=3, services={"double": double}) as c:
            c.kill("a3")
            job = c.submit("nothing")
            error = self.assertRaises(NeverDone, job.outcome, within=30)
            self.assertEqual(
                str(error),
                f"Waited 30 simulated seconds for job {job.id}. Down: a3. Part 0 is queued: "
                "No agent offers the service nothing.",
            )

    def test_no_broker(self) -> None:
        """
        Without a broker the client says so.
        """
        with cluster(services={"double": double}) as c:
            c.crash_broker()
            self.assertRaises(BrokerLost, c.call, "double")

    def test_bug(self) -> None:
        """
        A bug of jobroute itself fails the test.
        """
        c = cluster(services={"double": double})

        def run() -> None:
            with c:
                Logger().failure("Oh.", Failure(KeyError()))

        self.assertIn("Oh.", str(self.assertRaises(AssertionError, run)))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class ClientTests(SynchronousTestCase):
    """
    The client's faces.
    """

    def setUp(self) -> None:
        c: Cluster = cluster(agents=2, services={"double": double})
        self.c = c.__enter__()
        self.addCleanup(c.__exit__, None, None, None)

    def test_methods(self) -> None:
        """
        The methods of a client, one after the other.
        """
        client = self.c.client
        self.assertEqual(client.ping()["epoch"], 1)
        sent = client.submit("double", b"a", job="j")
        self.assertEqual(client.wait("j").number, sent.number)
        self.assertRaises(JobConflict, client.submit, "double", b"b", job="j")
        self.assertEqual(client.result("j").frames, (b"aa",))
        self.assertEqual(client.cancel("j"), 0)
        self.assertEqual(client.why("j"), [])
        self.assertEqual(client.jobs().jobs[0].job, "j")
        outcomes = client.map("double", [b"x", b"y", b"z"])
        self.assertEqual([o.data for o in outcomes], [b"xx", b"yy", b"zz"])

    def test_deferred(self) -> None:
        """
        The Deferreds of the real client fire as time passes.
        """
        client = self.c.client.deferred
        self.assertIsInstance(client, TwistedClient)
        calls = [client.call("double", b"x") for _ in range(4)]
        self.assertNoResult(calls[0])
        self.c.advance(1)
        self.assertEqual([self.successResultOf(call).data for call in calls], [b"xx"] * 4)

    def test_two(self) -> None:
        """
        There may be more clients, and each can be cut off.
        """
        other = self.c.new_client("other", timeout=5.0)
        self.assertIs(self.c.new_client("other"), other)
        self.c.partition("other")
        self.assertRaises(BrokerLost, other.ping)
        self.c.heal()
        self.assertEqual(other.ping()["epoch"], 1)
        self.assertEqual(self.c.client.ping()["epoch"], 1)


class ReactorTests(TestCase):
    """
    In a test with a reactor that runs.
    """

    async def test_unaffected(self) -> None:
        """
        The real reactor does not notice.
        """
        with cluster(agents=2, services={"double": double}) as c:
            self.assertEqual(c.call("double", b"x").data, b"xx")
            c.advance(days=1)


class ExampleTests(SynchronousTestCase):
    """
    The example of the documentation.
    """

    def run_with(self, *command: str) -> str:
        """
        Run it with something.
        """
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT / "doc" / "examples",
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_trial(self) -> None:
        """
        It runs under trial.
        """
        place = os.path.abspath(self.mktemp())
        said = self.run_with("twisted.trial", "--temp-directory", place, "test_thumbnails")
        self.assertIn("successes=3", said)

    def test_pytest(self) -> None:
        """
        It runs under pytest.
        """
        said = self.run_with("pytest", "-q", "-p", "no:cacheprovider", "test_thumbnails.py")
        self.assertIn("4 passed", said)
