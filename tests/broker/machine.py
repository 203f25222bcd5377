"""
Whatever can be done to a broker, in any order.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from jobroute.errors import StorageError
from jobroute.model import Held, PartState, ReplyKind, Target
from tests.broker.facts import Agent, Key
from tests.broker.judging import DEADLINE, Judged
from tests.broker.kit import FakeAgent

NAMES = ("a", "b", "c")
TARGETS: list[Any] = [
    "any", "any", "any", "all", {"count": 2}, {"agents": ["a"]}, {"agents": ["a", "b"]},
    {"agents": ["b", "c"], "count": 1}, {"agents": ["c", "b", "a"], "count": 2},
]  # fmt: skip
RETRIES: list[Any] = [
    None,
    {"on": ["failed"], "delay": 0, "jitter": 0},
    {"on": ["lost", "failed"], "delay": 1.0625, "jitter": 0},
    {"on": ["failed"], "delay": 1.0625, "jitter": 0},
]

ANSWERS = ["result", "failure", "failure", "cancelled", "lost"]

indexes = st.integers(0, 7)
#: Whether an agent is stopped: rarely, else nothing would go on.
rarely = st.sampled_from([False, False, False, True])
services = st.sampled_from("st")
limits = st.sampled_from([None, None, None, 1.25, 4.25, 12.25])


class Machine(Judged):
    """
    One broker, its clients, agents and operators, its disk and its clock.
    """

    # -- Clients

    @initialize(slots=st.integers(1, 2))
    def two_agents(self, slots: int) -> None:
        """
        So that there is something to do.
        """
        self.come("a", slots, True)
        self.come("b", 1, True)

    @rule(
        service=services,
        attempts=st.sampled_from([1, 2, 2]),
        priority=st.integers(0, 1),
        retry=st.sampled_from(RETRIES),
    )
    def submit_any(self, service: str, attempts: int, priority: int, retry: Any) -> None:
        """
        Hand in an ordinary job.
        """
        self.submit(1, service, "any", priority, attempts, retry, (None, None, None), b"")

    @rule(
        which=indexes,
        service=services,
        who=st.sampled_from(TARGETS),
        priority=st.integers(0, 1),
        attempts=st.integers(1, 3),
        retry=st.sampled_from(RETRIES),
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
        retry: Any,
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
        properties.update(
            service=service, target=who, priority=priority, attempts=attempts, retry=retry
        )
        reply = self.kit.submit(payload, job=id, **properties)
        said = repr((payload, properties)).encode()
        if self.numbers(id):
            if self.jobs[id] != said:
                assert reply.code == "job-conflict"
            else:
                self.counts["jobs_existing"] += 1
                self.ask(reply, id, job=id, existing=True)
            return
        given: dict[str, Any] = (
            who if isinstance(who, dict) else {"count": 1 if who == "any" else None}
        )
        names = given.get("agents")
        target = Target(names and tuple(names), given.get("count"))
        meant = self.meant(service, target)
        if any(name not in self.model.state.living for name in names or ()):
            assert reply.code == "no-such-agent"
        elif target.frozen and len(meant) < (target.count or 1):
            assert reply.code == "not-enough-agents"
        elif self.trouble:
            assert reply.code == "storage-unavailable"
        else:
            self.jobs[id] = said
            self.ask(reply, id, job=id, existing=False)
            self.step()
            chosen = [self.model.state.parts[n].names for n in self.numbers(id)]
            if target.frozen:
                flat = {name for one in chosen for name in one or ()}
                assert flat <= set(meant)
                assert len(flat) == len(chosen) == (target.count or len(meant))
            else:
                assert chosen == [target.names]

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
            self.ask(reply, job, job=job, cancelling=self.model.cancel(numbers))
            self.step()

    # -- Operators

    @rule(name=st.sampled_from(NAMES), drained=rarely)
    def drain_agent(self, name: str, drained: bool) -> None:
        """
        Drain an agent, living or not, or let it have work again.
        """
        reply = self.kit.ask("DRAIN" if drained else "RESUME", agent=name)
        if name in self.model.state.numbers:
            self.stopped("agent", name, drained)
            self.ask(reply, None, agent=name, drained=drained)
        else:
            assert reply.code == "no-such-agent"

    @rule(name=services, paused=st.booleans())
    def pause(self, name: str, paused: bool) -> None:
        """
        Pause a service, or let it go on.
        """
        reply = self.kit.ask("PAUSE" if paused else "RESUME", service=name)
        self.stopped("service", name, paused)
        self.ask(reply, None, service=name, paused=paused)

    def stopped(self, what: str, name: str, stopped: bool) -> None:
        """
        Something was stopped, or goes on.
        """
        self.step()
        assert ((what, name) in self.model.state.stopped) is stopped

    # -- Agents

    @rule(name=st.sampled_from(NAMES), slots=st.integers(1, 3), both=st.booleans())
    def come(self, name: str, slots: int, both: bool) -> None:
        """
        A new incarnation of an agent, whether there is another or not.
        """
        fake = self.kit.stranger(name, *("st" if both else "s"), slots=slots)
        self.fakes.append(fake)
        self.model.agents[fake.announcement.incarnation] = Agent(fake.announcement, self.model.now)
        self.announce(fake, [])

    @rule(which=indexes, held=st.lists(indexes, max_size=3))
    def come_back(self, which: int, held: list[int]) -> None:
        """
        An incarnation that was there, or still is.
        """
        fake = self.agent(which)
        if fake is not None:
            self.announce(fake, [self.key(fake, h) for h in held])

    def announce(self, fake: FakeAgent, held: list[Key]) -> None:
        """
        Announce an agent, and answer the ping.
        """
        fake.announce()
        fake.agents.ponged(fake.route, fake.route.of("ping")[-1][0], [Held(*k) for k in held])
        self.facts(fake).announce(self.model.now)
        self.facts(fake).beat(held, self.model.now)
        self.step()
        assert fake.name in self.model.state.living

    @rule(which=indexes, held=st.lists(indexes, max_size=3))
    def lie(self, which: int, held: list[int]) -> None:
        """
        A beat that names anything.
        """
        fake = self.agent(which)
        if fake is not None:
            self.beat(fake, [self.key(fake, h) for h in held])
            self.step()

    @rule(which=indexes)
    def drain(self, which: int) -> None:
        """
        An agent wants no more.
        """
        fake = self.agent(which)
        if fake is not None:
            fake.drain()
            self.facts(fake).hear(self.model.now)
            self.facts(fake).draining = True
            self.step()

    @rule(which=indexes)
    def leave(self, which: int) -> None:
        """
        An agent leaves.
        """
        fake = self.agent(which)
        if fake is not None:
            fake.leave()
            self.facts(fake).leave()
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
        if fake is not None:
            keeps = running and kind is ReplyKind.CANCELLED
            self.say(fake, self.key(fake, attempt), kind, count, keeps)

    @rule(
        which=indexes, kind=st.sampled_from(["result", "failure", "failure", "cancelled", "lost"])
    )
    def answer(self, which: int, kind: str) -> None:
        """
        An agent answers what it was given, and knows all its partial results.
        """
        running = [p for p in self.model.state.parts.items() if p[1].state is PartState.RUNNING]
        if running:
            number, part = running[which % len(running)]
            fake = self.holder(part.holder)
            self.say(fake, (number, part.made), ReplyKind(kind), part.partials)

    @rule(which=indexes)
    def answer_late(self, which: int) -> None:
        """
        An agent answers an attempt before the latest, of a part that it has
        or had.
        """
        again = [(n, p) for n, p in self.model.state.parts.items() if p.made > 1]
        again = [one for one in again if one[1].state is PartState.RUNNING] or again
        if again:
            number, part = again[which % len(again)]
            key = (number, part.made - 1)
            self.say(self.holder(part.holder), key, ReplyKind.RESULT, 0)

    @rule(which=indexes, attempt=indexes)
    def release(self, which: int, attempt: int) -> None:
        """
        An agent says that it has a slot back.
        """
        fake = self.agent(which)
        if fake is not None:
            key = self.key(fake, attempt)
            fake.agents.released(fake.route, *key)
            self.facts(fake).hear(self.model.now)
            if not self.model.current(fake.announcement.incarnation, key):
                self.facts(fake).give_back(key, True)
            self.step()

    # -- Time, disk and death

    @rule(ticks=st.integers(1, 9), honest=st.booleans())
    def time(self, ticks: int, honest: bool) -> None:
        """
        Time passes, and all agents beat as they should, or are silent.
        """
        for _ in range(ticks):
            self.pass_time(0.5, self.fakes if honest else ())

    @rule(which=indexes, ticks=st.integers(10, 24))
    def silence(self, which: int, ticks: int) -> None:
        """
        One agent is silent for long, and the others are not.
        """
        silent = self.agent(which)
        for _ in range(ticks):
            self.pass_time(0.5, [fake for fake in self.fakes if fake is not silent])

    @rule()
    def hold_back(self) -> None:
        """
        From now on the disk does not commit by itself, or does again.
        """
        self.hold = not self.hold
        self.step()

    @precondition(lambda self: self.hold and not self.trouble and self.model.written)
    @rule(which=indexes)
    def commit(self, which: int) -> None:
        """
        Some of what was written is on disk.
        """
        written = self.model.written
        self.commit_until(written[which % len(written)][0])
        self.step()

    @precondition(lambda self: self.hold)
    @rule()
    def fail(self) -> None:
        """
        Commits fail from now on, or do no more.
        """
        self.trouble = not self.trouble
        self.kit.disk.trouble(StorageError("no space") if self.trouble else None)
        if not self.trouble:
            self.hold = False
        self.step()

    @rule(which=indexes)
    def crash(self, which: int) -> None:
        """
        The broker dies, perhaps before it hears of its last commit.
        """
        kit, written = self.kit, self.model.written
        if which < 4 and written and not self.trouble:
            position = written[which % len(written)][0]
            kit.disk.commit(position, report=False)
            self.model.commit(position)
        kit.crash()
        self.trouble = False
        self.again()
        self.pass_time(0.0)

    def teardown(self) -> None:
        """
        At the end everything has one verdict, and nothing is left over.
        """
        if self.trouble:
            self.fail()
        self.hold = False
        self.step()
        for _ in range(int(DEADLINE * 2) + 40):
            self.pass_time(0.5)
        self.told()
        self.counted()
        assert not self.asked and not self.waits
        assert not self.kit.left(), self.kit.left()
        for job in {part.job.id for part in self.model.state.parts.values()}:
            parts = self.kit.ask("JOB", job=job).result["parts"]
            mine = [self.model.state.parts[n] for n in self.numbers(job)]
            assert [p["verdict"] for p in parts] == [p.verdict for p in mine]
