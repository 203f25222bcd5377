"""
Tests of an agent as a service, with a real broker over the in-memory network.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import Agent, Context, Refuse
from jobroute.errors import BadVersion, Cancelled, ConfigurationError, RegistrationRefused
from tests.agent.world import FRONTEND, World, outcome


class AgentTests(SynchronousTestCase):
    """
    A broker, a client, and an agent with services of every kind.
    """

    def setUp(self) -> None:
        """
        Start the broker and the agent.
        """
        self.world = World(self.mktemp)
        self.addCleanup(self.world.close)
        self.world.start_broker()
        self.calls: list[bytes] = []
        self.pending: list[Deferred[bytes]] = []
        self.contexts: list[Context] = []
        self.agent = self.world.agent(
            services={
                "now": self.now,
                "later": self.later,
                "thread": self.thread,
                "partials": self.partials,
                "inputs": self.inputs,
            }
        )
        self.agent.startService()
        self.ready = outcome(self.agent.whenReady())
        self.world.until(lambda: self.ready)

    async def now(self, payload: bytes) -> bytes:
        """
        A service that is done at once.
        """
        self.calls.append(payload)
        if payload == b"refuse":
            raise Refuse("not that")
        return payload.upper()

    def later(self, payload: bytes, context: Context) -> Deferred[bytes]:
        """
        One that is done when the test says.
        """
        self.calls.append(payload)
        self.contexts.append(context)
        self.pending.append(Deferred())
        return self.pending[-1]

    def thread(self, payload: bytes, context: Context) -> str:
        """
        One that runs in a thread.
        """
        context.check()
        self.contexts.append(context)
        return payload.decode() + "!"

    async def partials(self, payload: bytes, context: Context) -> dict[str, Any]:
        """
        One that hands in more than its result.
        """
        context.progress({"at": 1})
        for number in range(3):
            await context.partial(b"%d" % number, {"n": number})
        return {"header": context.header, "job": context.job}

    async def inputs(self, payload: bytes, context: Context) -> tuple[bytes, ...]:
        """
        One that gives its first two inputs back.
        """
        found: list[bytes] = []
        async for frames in context.inputs:
            found.extend(frames)
            if len(found) > 1:
                break
        return tuple(found)

    def verdict(self, number: int) -> dict[str, Any]:
        """
        How the one part of a call or wait ended.
        """
        answer, _ = self.world.answer(number)
        return dict(answer["result"]["parts"][0])

    def test_listed(self) -> None:
        """
        The broker knows the agent.
        """
        agents, _ = self.world.ask("LIST")
        self.assertEqual(list(agents), ["a1"])
        self.assertEqual((agents["a1"]["slots"], agents["a1"]["state"]), (2, "ready"))
        self.assertEqual(self.ready, [None])

    def test_call(self) -> None:
        """
        A call is answered with the function's result.
        """
        result, frames = self.world.ask("CALL", b"hello", service="now")
        self.assertEqual((result["verdicts"], frames), ({"succeeded": 1}, [b"HELLO"]))

    def test_refused(self) -> None:
        """
        A function may refuse.
        """
        result, _ = self.world.ask("CALL", b"refuse", service="now")
        self.assertEqual(result["parts"][0]["verdict"], "refused")
        self.assertEqual(result["parts"][0]["reason"], "not that")

    def test_thread(self) -> None:
        """
        A plain function runs in a thread.
        """
        number = self.world.client.ask("CALL", b"hello", service="thread")
        self.world.pump(0.5)
        self.assertIsNone(self.world.client.final(number))
        self.world.pools[0].perform()
        _, frames = self.world.answer(number)
        self.assertEqual(frames, [b"hello!"])

    def test_partials_and_progress(self) -> None:
        """
        They reach a client that asks for them, in order.
        """
        number = self.world.client.ask(
            "CALL", service="partials", header=[1], stream=["partial", "progress"]
        )
        answer, frames = self.world.answer(number)
        self.assertEqual(answer["result"]["verdicts"], {"succeeded": 1})
        self.assertIn(b'"header":[1]', frames[0])
        seen = self.world.client.answers[number]
        self.assertIn({"at": 1}, [a["progress"]["value"] for a, _ in seen if "progress" in a])
        self.assertEqual(
            [f for a, f in seen if "partial" in a],
            [[b"0", b'{"n":0}'], [b"1", b'{"n":1}'], [b"2", b'{"n":2}']],
        )

    def test_inputs(self) -> None:
        """
        What a client sends to a running part reaches the function.
        """
        self.world.ask("SUBMIT", service="inputs", job="j")
        self.world.pump(0.2)
        for text in (b"a", b"b"):
            self.world.ask("INPUT", text, job="j")
        _, frames = self.world.ask("WAIT", job="j")
        self.assertEqual(frames, [b"a", b"b"])

    def test_cancel(self) -> None:
        """
        A Deferred is cancelled, and its slot is free.
        """
        self.world.ask("SUBMIT", service="later", job="j")
        self.world.until(lambda: self.pending)
        self.world.ask("CANCEL", job="j")
        result, _ = self.world.ask("WAIT", job="j")
        self.assertEqual(result["verdicts"], {"cancelled": 1})
        self.assertTrue(self.contexts[0].cancelled)
        self.assertRaises(Cancelled, self.contexts[0].check)
        self.world.pump(3)
        agents, _ = self.world.ask("LIST")
        self.assertEqual(agents["a1"]["outstanding"], 0)

    def test_cancel_a_thread(self) -> None:
        """
        The verdict on a thread's part does not wait for it, but its slot is
        taken until it returns.
        """
        self.world.ask("SUBMIT", b"x", service="thread", job="j")
        self.world.pump(0.2)
        self.world.ask("CANCEL", job="j")
        result, _ = self.world.ask("WAIT", job="j")
        self.assertEqual(result["verdicts"], {"cancelled": 1})
        self.world.pump(5)
        agents, _ = self.world.ask("LIST")
        self.assertEqual(agents["a1"]["outstanding"], 1)
        self.world.pools[0].perform()
        self.world.pump(3)
        agents, _ = self.world.ask("LIST")
        self.assertEqual(agents["a1"]["outstanding"], 0)

    def test_busy_is_not_dead(self) -> None:
        """
        An agent that works for long keeps its part.
        """
        self.world.ask("SUBMIT", service="later", job="j")
        self.world.until(lambda: self.pending)
        self.world.pump(60)
        self.pending[0].callback(b"done")
        _, frames = self.world.ask("WAIT", job="j")
        self.assertEqual((frames, len(self.calls)), ([b"done"], 1))

    def test_broker_restarts(self) -> None:
        """
        An agent works on while the broker is away, and hands in what it
        finished when it is back.
        """
        for crash in (False, True):
            job = f"j{crash}"
            self.world.ask("SUBMIT", service="later", job=job)
            self.world.until(lambda: self.pending)
            if crash:
                self.world.crash_broker()
            else:
                self.world.stop_broker()
            self.pending.pop().callback(job.encode())
            self.world.pump(3)
            self.world.start_broker()
            result, frames = self.world.ask("WAIT", job=job)
            self.assertEqual((result["verdicts"], frames), ({"succeeded": 1}, [job.encode()]))
        self.assertEqual(len(self.calls), 2)
        incarnation = self.agent.incarnation
        assert incarnation is not None
        self.world.until(lambda: incarnation.core.work.settled)
        agents, _ = self.world.ask("LIST")
        self.assertEqual((agents["a1"]["number"], agents["a1"]["state"]), (1, "ready"))

    def test_long_away(self) -> None:
        """
        A broker that was away for minutes is found again.
        """
        self.world.crash_broker()
        self.world.pump(200)
        self.world.start_broker()
        self.world.until(lambda: self.world.ask("LIST")[0], 40)

    def test_broker_forgets(self) -> None:
        """
        A broker that lost its store is registered with like a new one.
        """
        self.world.crash_broker()
        self.world.storage = type(self.world.storage)(
            lambda call: self.world.reactor.callLater(0, call)
        )
        self.world.start_broker()
        _, frames = self.world.ask("CALL", b"again", service="now")
        self.assertEqual(frames, [b"AGAIN"])

    def test_half_open(self) -> None:
        """
        Connections that go silent without an end are noticed and replaced.
        """
        self.world.ask("SUBMIT", service="later", job="j", attempts=2)
        self.world.until(lambda: self.pending)
        self.world.network.half_open("a1")
        self.world.pump(2)
        self.pending[0].callback(b"done")
        result, frames = self.world.ask("WAIT", job="j")
        self.assertEqual((result["verdicts"], frames), ({"succeeded": 1}, [b"done"]))

    def test_drain(self) -> None:
        """
        A stop takes nothing new, finishes what there is, and takes leave
        when the broker has it.
        """
        self.world.ask("SUBMIT", service="later", job="j")
        self.world.until(lambda: self.pending)
        stopped = outcome(self.agent.stopService())
        self.world.pump(1)
        agents, _ = self.world.ask("LIST")
        self.assertEqual(agents["a1"]["state"], "draining")
        number = self.world.client.ask("CALL", b"x", service="now")
        self.world.pump(1)
        self.assertIsNone(self.world.client.final(number))
        self.pending[0].callback(b"done")
        self.world.until(lambda: stopped, 1)
        result, frames = self.world.ask("WAIT", job="j")
        self.assertEqual((result["verdicts"], frames), ({"succeeded": 1}, [b"done"]))
        self.assertEqual(self.world.ask("LIST")[0], {})
        self.assertEqual((self.agent.unfinished, stopped), (0, [None]))

    def test_drain_has_a_limit(self) -> None:
        """
        What is not done in time is given up, and the broker told.
        """
        self.world.ask("SUBMIT", service="later", job="j")
        self.world.until(lambda: self.pending)
        stopped = outcome(self.agent.stopService())
        self.world.pump(9.5)
        self.assertEqual(stopped, [])
        self.world.pump(1)
        self.assertEqual((stopped, self.agent.unfinished), ([None], 1))
        result, _ = self.world.ask("WAIT", job="j")
        self.assertEqual(result["verdicts"], {"lost": 1})
        self.assertTrue(self.contexts[0].cancelled)

    def test_second_stop(self) -> None:
        """
        The second time it stops at once.
        """
        self.world.ask("SUBMIT", service="later", job="j")
        self.world.until(lambda: self.pending)
        first = outcome(self.agent.stopService())
        second = outcome(self.agent.stopService())
        self.assertEqual((first, second), ([None], [None]))
        self.assertTrue(self.world.pools[0].stopped)

    def test_stop_without_a_broker(self) -> None:
        """
        Without a broker a stop waits no longer than it says.
        """
        self.world.ask("SUBMIT", service="later", job="j")
        self.world.until(lambda: self.pending)
        self.world.crash_broker()
        self.pending[0].callback(b"done")
        stopped = outcome(self.agent.stopService())
        self.world.pump(4)
        self.assertEqual(stopped, [])
        self.world.pump(2)
        self.assertEqual((stopped, self.agent.unfinished), ([None], 1))

    def test_start_again(self) -> None:
        """
        It can be stopped and started again, as the same agent.
        """
        stopped = outcome(self.agent.whenStopped())
        self.agent.stopService()
        self.world.until(lambda: stopped)
        self.agent.startService()
        ready = outcome(self.agent.whenReady())
        self.world.until(lambda: ready)
        _, frames = self.world.ask("CALL", b"again", service="now")
        self.assertEqual(frames, [b"AGAIN"])
        agents, _ = self.world.ask("LIST")
        self.assertEqual(agents["a1"]["number"], 1)
        self.assertEqual(outcome(self.agent.stopService()), [None])

    def test_nothing_left(self) -> None:
        """
        A stopped agent has no timers.
        """
        self.world.stop_broker()
        self.agent.stopService()
        self.agent.abort()
        self.world.network.close()
        self.assertEqual(self.world.reactor.getDelayedCalls(), [])

    def test_name_taken(self) -> None:
        """
        Who wants the name of a living agent is refused after some time, and
        stops.
        """
        other = self.world.agent(services={"now": self.now}, patience=3.0)
        other._network = self.world.network.host("elsewhere")
        other.startService()
        ready, stopped = outcome(other.whenReady()), outcome(other.whenStopped())
        self.world.until(lambda: stopped)
        for [failure] in (ready, stopped):
            assert isinstance(failure, Failure)
            failure.trap(RegistrationRefused)
            self.assertIn("agent a1", failure.getErrorMessage())
        self.assertIsNone(other.incarnation)
        self.failureResultOf(other.whenReady(), RegistrationRefused)

    def test_successor(self) -> None:
        """
        A name whose agent died is its successor's.
        """
        self.world.network.crash("a1")
        incarnation = self.agent.incarnation
        assert incarnation is not None
        incarnation.close()
        other = self.world.agent(services={"now": self.now})
        other.startService()
        ready = outcome(other.whenReady())
        self.world.until(lambda: ready)
        self.assertEqual(ready, [None])

    def test_another_version(self) -> None:
        """
        A broker that speaks another version is an error with a type.
        """
        incarnation = self.agent.incarnation
        assert incarnation is not None
        stopped = outcome(self.agent.whenStopped())
        incarnation._lost(Failure(BadVersion("It speaks version 9.")))
        self.world.pump(0.1)
        [failure] = stopped
        failure.trap(BadVersion)


class OptionsTests(SynchronousTestCase):
    """
    What an agent can be told.
    """

    def test_wrong(self) -> None:
        """
        What is wrong is refused by name before anything is opened.
        """
        for options, word in (
            ({"name": "no good"}, "name"),
            ({"services": {"no good": len}}, "service"),
            ({"slots": 0}, "slots"),
            ({"slots": True}, "slots"),
            ({"slots": 900, "prefetch": 101}, "slots"),
            ({"prefetch": -1}, "prefetch"),
            ({"labels": {"a b": "c"}}, "label"),
            ({"labels": {"a": 1}}, "label"),
            ({"services": {"f": "nowhere:f"}}, "nowhere"),
            ({"services": [len]}, "not marked"),
        ):
            error = self.assertRaises(ConfigurationError, Agent, FRONTEND, **options)
            self.assertIn(word, str(error))

    def test_no_service(self) -> None:
        """
        An agent without a service does not start.
        """
        self.assertRaises(ConfigurationError, Agent(FRONTEND).startService)

    def test_decorator(self) -> None:
        """
        Functions can be offered by decorator until the agent is started.
        """
        agent = Agent(FRONTEND)

        @agent.service("upper")
        def function(payload: bytes) -> bytes:
            return payload.upper()

        @agent.service()
        def lower(payload: bytes) -> bytes:
            return payload.lower()

        self.assertEqual(list(agent._functions), ["upper", "lower"])
        self.assertRaises(ConfigurationError, agent.service("no good"), lower)

    def test_stop_before_start(self) -> None:
        """
        Stopping what was never started does nothing.
        """
        agent = Agent(FRONTEND)
        self.assertEqual(self.successResultOf(agent.stopService()), None)
        self.assertEqual(self.successResultOf(agent.whenStopped()), None)
