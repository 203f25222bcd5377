"""
The dispatcher, with everything that it changes, against
L{tests.broker.reference}: Hypothesis does whatever can be done to a broker, in
any order, and after each step compares what was written, told and counted.

C{JOBROUTE_EXAMPLES=5000 trial tests.broker.test_dispatcher_model} looks longer.
"""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from io import StringIO
from math import inf
from typing import Any

from attrs import define, field
from hypothesis import HealthCheck, Phase, settings
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

from jobroute.broker.deliveries import Deliveries
from jobroute.broker.endings import Endings
from jobroute.broker.parts import Attempt, Part
from jobroute.errors import StorageError
from jobroute.model import Change, Held, ReplyKind, Target, Verdict
from jobroute.testing.disk import SimulatedDisk
from tests.broker.kit import FakeAgent, Kit, Reply
from tests.broker.reference import Key, Reference

#: How many runs, of how many steps at most.
EXAMPLES = int(os.environ.get("JOBROUTE_EXAMPLES", "80"))
STEPS = 60

#: Seconds until a job expires that says nothing of it.  Limits end between
#: two ticks, so that no rounding decides.
DEADLINE = 45.25

NAMES = ("a", "b", "c")
TARGETS: list[Any] = [
    "any", "any", "any", "all", {"count": 2}, {"agents": ["a"]}, {"agents": ["a", "b"]},
    {"agents": ["b", "c"], "count": 1}, {"agents": ["c", "b", "a"], "count": 2},
]  # fmt: skip

indexes = st.integers(0, 7)
services = st.sampled_from("st")
limits = st.sampled_from([None, None, None, 1.25, 4.25, 12.25])


@define(eq=False)
class Recorder(SimulatedDisk):
    """
    A disk that shows what it was given to write.
    """

    written: list[Change] = field(factory=list, init=False)

    def write(self, position: int, changes: Any) -> None:
        """
        See L{IStorage.write}.
        """
        super().write(position, changes)
        self.written += changes


@define(eq=False, repr=False)
class RecordingKit(Kit):
    """
    A broker whose disk is a L{Recorder}.
    """

    disk: Recorder = field(factory=Recorder, init=False)


@define(eq=False)
class Asked:
    """
    A question whose answer has to wait for the disk.

    @ivar position: until where everything has to be on disk.
    """

    reply: Reply
    position: int
    expected: dict[str, Any]


class Machine(RuleBasedStateMachine):
    """
    One broker, and its double.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kit = RecordingKit(changes={"deadline": DEADLINE})
        self.model = Reference(self.kit.clocks.now)
        self.fakes: list[FakeAgent] = []
        self.asked: list[Asked] = []
        self.waits: list[tuple[str, Reply]] = []
        self.jobs: dict[str, bytes] = {}
        self.hold = False
        self.begin()

    def begin(self) -> None:
        """
        An epoch has begun.
        """
        self.kit.disk.written.clear()
        self.kit.hold = True
        self.model.stored = self.kit.broker.journal.position

    # -- Helpers

    def step(self) -> None:
        """
        Compare what was written, and commit it unless somebody holds it.
        """
        kit, model = self.kit, self.model
        while True:
            assert not kit.broker.journal._changes, "nobody writes it"
            written, kit.disk.written = kit.disk.written, []
            model.step(written, kit.broker.journal.position)
            if self.hold or not kit.disk.pending:
                return
            self.commit_until(kit.broker.journal.position)

    def commit_until(self, position: int) -> None:
        """
        Commit all that was written in some steps.
        """
        self.kit.disk.commit(position)
        self.model.commit(position)

    def ask(self, reply: Reply, job: str, **expected: Any) -> None:
        """
        Something was asked that waits for the disk, unless its job is over.
        """
        position = 0 if self.over(job) else self.kit.broker.journal.position
        self.asked.append(Asked(reply, position, {"job": job, **expected}))

    def over(self, job: str) -> list[Any]:
        """
        The verdicts of a job of which all verdicts are on disk.
        """
        verdicts = [p.verdict for p in self.model.saved.parts.values() if p.job.id == job]
        return verdicts if all(verdicts) else []

    def agent(self, which: int) -> FakeAgent | None:
        """
        One of the agents that ever were.
        """
        return self.fakes[which % len(self.fakes)] if self.fakes else None

    def key(self, agent: FakeAgent, which: int) -> Key:
        """
        An attempt of that agent, of another, or of nobody.
        """
        own = [(d.part, d.attempt) for d in agent.deliveries]
        all = [(n, p.made) for n, p in self.model.state.parts.items()]
        keys = [*own[::-1], *all[::-1], (999_999, 1)]
        return keys[which % len(keys)]

    def job(self, which: int) -> str | None:
        """
        One of the jobs that there are.
        """
        jobs = sorted({part.job.id for part in self.model.state.parts.values()})
        return jobs[which % len(jobs)] if jobs else None

    def numbers(self, job: str) -> list[int]:
        """
        The numbers of a job's parts.
        """
        return [n for n, part in self.model.state.parts.items() if part.job.id == job]

    # -- Clients

    @initialize(slots=st.integers(1, 2))
    def two_agents(self, slots: int) -> None:
        """
        So that there is something to do.
        """
        self.come("a", slots, True)
        self.come("b", 1, True)

    @rule(service=services, attempts=st.integers(1, 2), priority=st.integers(0, 1))
    def submit_any(self, service: str, attempts: int, priority: int) -> None:
        """
        Hand in an ordinary job.
        """
        self.submit(1, service, "any", priority, attempts, (None, None, None), b"")

    @rule(
        which=indexes,
        service=services,
        who=st.sampled_from(TARGETS),
        priority=st.integers(0, 1),
        attempts=st.integers(1, 3),
        times=st.tuples(limits, limits, limits),
        payload=st.sampled_from([b"", b"x"]),
    )
    def submit(
        self,
        which: int,
        service: str,
        who: Any,
        priority: int,
        attempts: int,
        times: tuple[float | None, float | None, float | None],
        payload: bytes,
    ) -> None:
        """
        Hand in a job, perhaps one that is there.
        """
        id = f"j{len(self.jobs) if which else 0}"
        properties: dict[str, Any] = dict(
            zip(("queue_limit", "run_limit", "deadline"), times, strict=True)
        )
        properties.update(service=service, target=who, priority=priority, attempts=attempts)
        reply = self.kit.submit(payload, job=id, **properties)
        said = repr((payload, properties)).encode()
        if self.numbers(id):
            if self.jobs[id] != said:
                assert reply.code == "job-conflict"
            else:
                self.model.counts["jobs_existing"] += 1
                self.ask(reply, id, existing=True)
            return
        given: dict[str, Any] = (
            who if isinstance(who, dict) else {"count": 1 if who == "any" else None}
        )
        names = given.get("agents")
        meant = Target(names and tuple(names), given.get("count"))
        refusal = self.model.submit(service, meant)
        if refusal:
            assert reply.code == refusal
            return
        self.jobs[id] = said
        self.ask(reply, id, existing=False)
        self.step()

    @rule(which=indexes)
    def wait(self, which: int) -> None:
        """
        Wait for a job.
        """
        job = self.job(which)
        if job is not None:
            self.waits.append((job, self.kit.ask("WAIT", job=job)))

    @rule(which=indexes, index=st.integers(0, 2) | st.none())
    def cancel(self, which: int, index: int | None) -> None:
        """
        Cancel a job, or a part of it.
        """
        job = self.job(which)
        numbers = [] if job is None else self.numbers(job)
        if index is not None:
            numbers = numbers[index : index + 1]
        if numbers:
            assert job is not None
            one: dict[str, Any] = {} if index is None else {"index": index}
            reply = self.kit.ask("CANCEL", job=job, **one)
            count = self.model.cancel(numbers)
            self.ask(reply, job, cancelling=count)
            self.step()

    # -- Agents

    @rule(name=st.sampled_from(NAMES), slots=st.integers(1, 3), both=st.booleans())
    def come(self, name: str, slots: int, both: bool) -> None:
        """
        A new incarnation of an agent, whether there is another or not.
        """
        if self.awaited(name):
            return
        fake = self.kit.stranger(name, *("st" if both else "s"), slots=slots)
        self.fakes.append(fake)
        self.announce(fake, ())

    @rule(which=indexes, held=st.lists(indexes, max_size=3))
    def come_back(self, which: int, held: list[int]) -> None:
        """
        An incarnation that was there, or still is.
        """
        fake = self.agent(which)
        if fake is not None and not self.awaited(fake.name):
            self.announce(fake, tuple(self.key(fake, h) for h in held))

    def awaited(self, name: str) -> bool:
        """
        Whether somebody waits for a name: more might wait for too long.
        """
        return any(who.name == name for who, _, _ in self.model.newcomers.values())

    def announce(self, fake: FakeAgent, held: tuple[Key, ...]) -> None:
        """
        Announce an agent, and answer the ping.
        """
        fake.announce()
        fake.agents.ponged(fake.route, fake.route.of("ping")[-1][0], [Held(*k) for k in held])
        self.model.announce(fake.announcement, held)
        self.step()

    @rule(which=indexes, held=st.lists(indexes, max_size=3))
    def lie(self, which: int, held: list[int]) -> None:
        """
        A beat that names anything.
        """
        fake = self.agent(which)
        if fake is not None:
            self.beat(fake, [self.key(fake, h) for h in held])
            self.step()

    def beat(self, fake: FakeAgent, keys: list[Key]) -> None:
        """
        Let an agent say what it holds.
        """
        fake.agents.beat(fake.route, [Held(*key) for key in keys])
        self.model.beat(fake.announcement.incarnation, keys)

    @rule(which=indexes)
    def drain(self, which: int) -> None:
        """
        An agent wants no more.
        """
        fake = self.agent(which)
        if fake is not None:
            fake.drain()
            self.model.drain(fake.announcement.incarnation)
            self.step()

    @rule(which=indexes)
    def leave(self, which: int) -> None:
        """
        An agent leaves.
        """
        fake = self.agent(which)
        if fake is not None:
            fake.leave()
            self.model.unregister(fake.announcement.incarnation)
            self.step()

    @rule(
        which=indexes,
        attempt=indexes,
        kind=st.sampled_from(ReplyKind),
        count=st.integers(0, 2),
        running=st.booleans(),
    )
    def reply(self, which: int, attempt: int, kind: ReplyKind, count: int, running: bool) -> None:
        """
        An agent says anything of any attempt.
        """
        fake = self.agent(which)
        if fake is None:
            return
        key = self.key(fake, attempt)
        running = running and kind is ReplyKind.CANCELLED
        value = running if kind is ReplyKind.CANCELLED else ""
        fake.agents.replied(fake.route, *key, kind, value, count, (b"r",))
        self.model.reply(fake.announcement.incarnation, key, kind, count, running)
        self.step()

    @rule(which=indexes, kind=st.sampled_from(["result", "result", "failure", "cancelled"]))
    def answer(self, which: int, kind: str) -> None:
        """
        An agent answers what it was given, and knows all its partial results.
        """
        running = [(n, p) for n, p in self.model.state.parts.items() if p.state == "running"]
        if not running:
            return
        number, part = running[which % len(running)]
        fake = next(f for f in self.fakes if f.announcement.incarnation == part.holder)
        key, said = (number, part.made), ReplyKind(kind)
        fake.agents.replied(fake.route, *key, said, "", part.partials, (b"r",))
        self.model.reply(part.holder, key, said, part.partials, False)
        self.step()

    @rule(which=indexes, attempt=indexes)
    def release(self, which: int, attempt: int) -> None:
        """
        An agent says that it has a slot back.
        """
        fake = self.agent(which)
        if fake is not None:
            key = self.key(fake, attempt)
            fake.agents.released(fake.route, *key)
            self.model.released(fake.announcement.incarnation, key)
            self.step()

    # -- Time, disk and death

    @rule(ticks=st.integers(1, 9), honest=st.booleans())
    def time(self, ticks: int, honest: bool) -> None:
        """
        Time passes, and all agents beat as they should, or are silent.
        """
        for _ in range(ticks):
            self.kit.clocks.advance(0.5)
            self.kit.reactor.advance(0.5)
            if honest:
                self.model.now = self.kit.clocks.now
                for fake in self.fakes:
                    agent = self.model.state.agents.get(fake.announcement.incarnation)
                    if agent is not None:
                        self.beat(fake, list(agent.held))
            self.kit.broker.tick()
            self.model.tick(self.kit.clocks.now)
            self.step()

    @rule(which=indexes, ticks=st.integers(10, 24))
    def silence(self, which: int, ticks: int) -> None:
        """
        One agent is silent for long, and the others are not.
        """
        silent = self.agent(which)
        others = [fake for fake in self.fakes if fake is not silent]
        everybody, self.fakes = self.fakes, others
        self.time(ticks, True)
        self.fakes = everybody

    @rule()
    def hold_back(self) -> None:
        """
        From now on the disk does not commit by itself, or does again.
        """
        self.hold = not self.hold
        self.step()

    @precondition(lambda self: self.hold and not self.model.trouble and self.model.history)
    @rule(which=indexes)
    def commit(self, which: int) -> None:
        """
        Some of what was written is on disk.
        """
        history = self.model.history
        self.commit_until(history[which % len(history)][0])
        self.step()

    @precondition(lambda self: self.hold)
    @rule()
    def fail(self) -> None:
        """
        Commits fail from now on, or do no more.
        """
        self.model.trouble = not self.model.trouble
        self.kit.disk.trouble(StorageError("no space") if self.model.trouble else None)
        if not self.model.trouble:
            self.hold = False
        self.step()

    @rule(which=indexes)
    def crash(self, which: int) -> None:
        """
        The broker dies, perhaps before it hears of its last commit.
        """
        kit, model = self.kit, self.model
        if which < 4 and model.history and not model.trouble:
            position = model.history[which % len(model.history)][0]
            kit.disk.commit(position, report=False)
            while model.history and model.history[0][0] <= position:
                _, model.saved = model.history.pop(0)
        kit.crash()
        model.crash()
        self.fakes = [kit.returned(fake) for fake in self.fakes]
        self.asked, self.waits, self.hold = [], [], False
        self.begin()

    # -- What must hold

    @invariant()
    def told(self) -> None:
        """
        Nobody was told what is not on disk, and everybody what is.
        """
        saved, stored = self.model.saved, self.kit.broker.journal.stored
        for fake in self.fakes:
            for delivery in fake.deliveries:
                assert saved.parts[delivery.part].made >= delivery.attempt, "not on disk"
        for asked in list(self.asked):
            assert asked.reply.done == (asked.position <= stored)
            if asked.reply.done:
                result = asked.reply.result
                assert {name: result[name] for name in asked.expected} == asked.expected
                self.asked.remove(asked)
        for job, reply in list(self.waits):
            over = self.over(job)
            assert reply.done == bool(over), f"wait for {job}"
            if over:
                assert [part["verdict"] for part in reply.result["parts"]] == over
                self.waits.remove((job, reply))

    @invariant()
    def counted(self) -> None:
        """
        C{LIST} and C{STATS} say the truth.
        """
        model, state, saved = self.model, self.model.state, self.model.saved
        listed = {
            name: (agent["state"], agent["outstanding"], agent["number"])
            for name, agent in self.kit.ask("LIST").result.items()
        }
        assert listed == {
            agent.who.name: (agent.word, len(agent.held), state.numbers[agent.who.name])
            for agent in state.agents.values()
            if agent.stored
        }
        stats = self.kit.ask("STATS").result
        counters = {name: stats["counters"][name] for name in model.counts}
        wrong = {n: (counters[n], c) for n, c in model.counts.items() if counters[n] != c}
        assert not wrong, wrong
        open = {p.job.id for n, p in state.parts.items() if not self.verdict(saved, n)}
        gauges = stats["gauges"]
        assert gauges["queued"] == sum(p.state == "queued" for p in state.parts.values())
        assert gauges["running"] == sum(len(a.held) for a in state.agents.values())
        assert gauges["jobs"] == len(open)
        assert gauges["registrations"] == len(model.newcomers)
        for service, said in stats["services"].items():
            queued = [p for p in state.parts.values() if p.state == "queued"]
            assert said["queued"] == sum(p.job.service == service for p in queued)
        storage = stats["storage"]
        assert storage["parts"] == len(saved.parts)
        assert storage["jobs"] == len({p.job.id for p in saved.parts.values()})

    @staticmethod
    def verdict(state: Any, number: int) -> Any:
        """
        A part's verdict, if it has one.
        """
        return state.parts[number].verdict if number in state.parts else None

    def teardown(self) -> None:
        """
        At the end everything has one verdict, and nothing is left over.
        """
        if self.model.trouble:
            self.fail()
        self.hold = False
        self.step()
        self.time(int(DEADLINE * 2) + 40, False)
        self.told()
        self.counted()
        assert not self.asked and not self.waits
        assert not self.kit.left(), self.kit.left()
        for job in {part.job.id for part in self.model.state.parts.values()}:
            parts = self.kit.ask("JOB", job=job).result["parts"]
            mine = [self.model.state.parts[n] for n in self.numbers(job)]
            assert [p["verdict"] for p in parts] == [p.verdict for p in mine]


class DispatcherTests(SynchronousTestCase):
    """
    The dispatcher and its double agree.
    """

    def run_machine(self, examples: int, *phases: Phase) -> None:
        """
        Do something, in so many ways.
        """
        chosen = settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="JOBROUTE_EXAMPLES" not in os.environ,
            database=None,
            phases=phases or tuple(Phase),
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Machine, settings=chosen)

    def test_same(self) -> None:
        """
        Whatever is done.
        """
        self.run_machine(EXAMPLES)

    def assert_noticed(self, place: type, name: str, broken: Any) -> None:
        """
        Something is broken, and that is noticed.
        """
        self.patch(place, name, broken)
        with redirect_stdout(StringIO()):
            wrong = (AssertionError, KeyError)
            noticed = self.assertRaises(wrong, self.run_machine, 500, Phase.generate)
        self.assertIn("Machine()", "".join(noticed.__notes__))

    def test_one_attempt_too_many(self) -> None:
        """
        A part that is tried once more than it may be.
        """
        lost = Endings.lost

        def generous(endings: Endings, attempt: Attempt, *more: Any) -> None:
            job = attempt.part.job
            job.attempts += 1
            lost(endings, attempt, *more)
            job.attempts -= 1

        self.assert_noticed(Endings, "lost", generous)

    def test_delivered_before_commit(self) -> None:
        """
        An attempt that is sent before it is on disk.
        """
        watch = Deliveries.watch

        def hasty(deliveries: Deliveries, part: Part, now: float) -> None:
            watch(deliveries, part, now)
            if part.attempt is not None and part.attempt.sent == inf:
                deliveries.deliver(part.attempt)

        self.assert_noticed(Deliveries, "watch", hasty)

    def test_slot_kept(self) -> None:
        """
        A slot that is not given back when its part failed.
        """
        release = Deliveries.release

        def stingy(deliveries: Deliveries, attempt: Attempt) -> None:
            if attempt.part.verdict is not Verdict.FAILED:
                release(deliveries, attempt)

        self.assert_noticed(Deliveries, "release", stingy)
