"""
Tests of the core of an agent as a whole: whatever the broker says, and
whatever is lost on the way.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.attempts import Attempt, Key
from jobroute.agent.core import AgentCore
from jobroute.agent.registration import State
from jobroute.errors import BadMessage
from jobroute.wire.backend import AgentMessage, decode_broker_message
from tests.agent.support import Bench, say

_numbers = st.integers(-2, 4) | st.integers() | st.sampled_from([2**62, 2**63, 2**64])
_kinds = st.sampled_from(
    "ping pong welcome refuse reregister deliver cancel input ack farewell error nonsense".split()
)
_lists = st.lists(st.lists(_numbers, max_size=4), max_size=4)
_messages = st.fixed_dictionaries(
    {"message": _kinds},
    optional={
        "part": st.integers(0, 3) | _numbers,
        "attempt": st.integers(0, 3) | _numbers,
        "job": st.text(max_size=5),
        "index": _numbers,
        "service": st.sampled_from(["echo", "sleep", ""]) | st.text(max_size=300),
        "run_limit": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "nonce": st.text(max_size=100),
        "number": _numbers,
        "epoch": st.integers(0, 3) | _numbers,
        "interval": st.floats(allow_nan=False, allow_infinity=False),
        "liveness": _numbers,
        "held": st.lists(st.tuples(_numbers, _numbers), max_size=3),
        "attempts": _lists,
        "ack": _lists,
        "code": st.sampled_from(["busy", "name-taken", "no-hope"]) | st.text(max_size=100),
        "error": st.text(max_size=100),
        "wait": st.floats(allow_nan=False, allow_infinity=False),
    },
)


class AnythingTests(SynchronousTestCase):
    """
    A broker that has lost its mind.
    """

    @settings(max_examples=200, deadline=None)
    @given(st.lists(_messages | st.floats(0, 60) | st.booleans(), max_size=30))
    def test_messages(self, steps: list[object]) -> None:
        """
        No messages whatever make an agent raise, exceed its slots, or forget
        how much it keeps.
        """
        bench = Bench(slots=2, prefetch=1)
        bench.core.start(bench.now)
        for step in steps:
            if isinstance(step, dict):
                members = {k: v for k, v in step.items() if k != "message"}
                bench.core.received(say(step["message"], **members), bench.now)
            elif isinstance(step, bool):
                bench.outlet.connected = step
                running = [a for a in bench.outlet.started if a.stage.value == "running"]
                if running:
                    bench.core.work.partial(running[0], (b"x",), bench.now)
                    bench.core.work.finished(running[-1], "result", (b"y",), "", bench.now)
            elif isinstance(step, float):
                bench.advance(step)
            self.assertLessEqual(bench.core.work.running, 2)
            _check_outbox(self, bench.core)

    @given(st.lists(st.binary(max_size=40), max_size=4))
    def test_frames(self, frames: list[bytes]) -> None:
        """
        Nor do any frames at all.
        """
        bench = Bench()
        bench.ready()
        try:
            message = decode_broker_message(frames)
        except BadMessage:
            return
        bench.core.received(message, bench.now)


def _check_outbox(case: SynchronousTestCase, core: AgentCore) -> None:
    """
    Its sums are those of what it keeps.
    """
    attempts = core.work.attempts
    entries = sum((a.final is not None) + len(a.partials or ()) for a in attempts)
    case.assertEqual(core.outbox.entries, entries)
    size = sum(
        (a.size if a.final is not None else 0) + sum(p.size for p in a.partials or ())
        for a in attempts
    )
    case.assertEqual(core.outbox.size, size)


class Lossy(RuleBasedStateMachine):
    """
    A small broker, an agent, and a network between them that loses what is
    under way whenever a connection breaks.

    The broker's rules are those of the protocol: it takes each reply once,
    in order, and remembers only what it has taken through its restarts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(slots=2, prefetch=2)
        self.outlet = self.bench.outlet
        self.core = self.bench.core
        self.epoch = 1
        self.up = True
        self.known = False
        self.given: dict[Key, str] = {}
        self.partials: dict[Key, int] = {}
        self.verdicts: dict[Key, str] = {}
        self.done: dict[Key, str] = {}
        self.under_way: deque[tuple[str, dict[str, Any]]] = deque()

    @initialize()
    def begin(self) -> None:
        """
        The agent starts.
        """
        self.core.start(self.bench.now)

    # -- The network

    def tell(self, message: str, **members: object) -> None:
        """
        The broker says something, which arrives later or never.
        """
        self.under_way.append((message, members))

    @rule()
    def broker_hears(self) -> None:
        """
        What the agent said arrives.
        """
        sent, self.outlet.sent = self.outlet.sent, []
        if not self.up:
            return
        if self.outlet.announced:
            self.outlet.announced = 0
            self.tell("ping", nonce="n")
        for message in sent:
            self.hear(message)

    @rule()
    def agent_hears(self) -> None:
        """
        What the broker said arrives.
        """
        while self.under_way:
            message, members = self.under_way.popleft()
            self.bench.hear(message, **members)

    @rule()
    def connection_breaks(self) -> None:
        """
        What is under way is lost, both ways.
        """
        self.outlet.sent.clear()
        self.under_way.clear()
        self.outlet.announced = 0

    @rule(connected=st.booleans())
    def socket(self, connected: bool) -> None:
        """
        The agent's socket is full, or not.
        """
        self.outlet.connected = connected

    @rule()
    def broker_crashes(self) -> None:
        """
        Everything is lost but what is on disk.
        """
        self.up = False
        self.known = False
        self.connection_breaks()

    @rule()
    def broker_starts(self) -> None:
        """
        It comes back, in another epoch.
        """
        if not self.up:
            self.up = True
            self.epoch += 1

    @rule(seconds=st.floats(0.01, 8))
    def time(self, seconds: float) -> None:
        """
        Time passes.
        """
        self.bench.advance(seconds, hear=False)

    # -- The broker

    def hear(self, message: AgentMessage) -> None:
        """
        The broker hears something of the agent.
        """
        key = (message.part, message.attempt)
        if message.message == "pong":
            self.known = True
            self.tell("welcome", number=1, epoch=self.epoch, interval=2.0, liveness=5)
            self.beaten(message)
        elif not self.known:
            self.tell("reregister", epoch=self.epoch)
        elif message.message == "beat":
            self.beaten(message)
            if message.answer:
                self.tell("pong", epoch=self.epoch)
        elif message.message == "partial":
            self.partial(key, message.sequence)
        elif message.message in ("result", "failure"):
            self.final(key, message)

    def beaten(self, message: AgentMessage) -> None:
        """
        Deliver again what the agent should hold, and does not.
        """
        for key, job in self.given.items():
            if key not in self.verdicts and key not in message.held:
                self.deliver(key, job)

    def deliver(self, key: Key, job: str) -> None:
        """
        Give the agent an attempt.
        """
        self.tell("deliver", part=key[0], attempt=key[1], job=job, service="echo")

    def partial(self, key: Key, sequence: int) -> None:
        """
        Take a partial result if it is the next one.
        """
        taken = self.partials.get(key, 0)
        if sequence == taken + 1:
            assert key not in self.verdicts
            taken = self.partials[key] = sequence
        self.tell("ack", attempts=[[*key, taken]])

    def final(self, key: Key, message: AgentMessage) -> None:
        """
        Take a final reply if everything before it was taken.
        """
        if key not in self.verdicts:
            if message.partials != self.partials.get(key, 0):
                return
            self.verdicts[key] = message.message
        self.tell("ack", attempts=[list(key)])

    @precondition(lambda self: self.up and self.known)
    @rule()
    def work_comes(self) -> None:
        """
        A job is submitted, and given to the agent if that has credit.
        """
        if len(self.given) - len(self.verdicts) < 4:
            key = (len(self.given) + 1, 1)
            self.given[key] = f"j{key[0]}"
            self.deliver(key, self.given[key])

    # -- The agent's functions

    def running(self) -> list[Attempt]:
        """
        Those that have not come to their end.
        """
        return [a for a in self.outlet.started if a.key not in self.done]

    @precondition(lambda self: self.running())
    @rule()
    def function_hands_in(self) -> None:
        """
        One has a partial result.
        """
        self.core.work.partial(self.running()[-1], (b"p",), self.bench.now)

    @precondition(lambda self: self.running())
    @rule(kind=st.sampled_from(["result", "failure"]))
    def function_ends(self, kind: str) -> None:
        """
        One comes to its end.
        """
        attempt = self.running()[0]
        self.done[attempt.key] = kind
        self.core.work.finished(attempt, kind, (), "", self.bench.now)

    # -- What must be so

    @invariant()
    def done_once(self) -> None:
        """
        No attempt is begun twice.
        """
        keys = [a.key for a in self.outlet.started]
        assert len(keys) == len(set(keys))

    @invariant()
    def verdicts_are_true(self) -> None:
        """
        The broker has no verdict but what the function said.
        """
        for key, verdict in self.verdicts.items():
            assert self.done[key] == verdict

    def teardown(self) -> None:
        """
        When all is well again, every result arrives.
        """
        self.outlet.connected = True
        self.broker_starts()
        for _ in range(60):
            while self.running():
                self.function_ends("result")
            self.broker_hears()
            self.agent_hears()
            self.time(2.0)
        assert self.core.registration.state is State.READY
        assert set(self.verdicts) == set(self.given)
        assert self.core.work.settled
        assert (self.core.outbox.entries, self.core.outbox.size) == (0, 0)


class LossyTests(SynchronousTestCase):
    """
    See L{Lossy}.
    """

    def test_nothing_lost_or_doubled(self) -> None:
        """
        Whatever is lost on the way, and whoever crashes: each function's
        outcome reaches the broker, and no function is run twice.
        """
        run_state_machine_as_test(
            Lossy, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
        )
