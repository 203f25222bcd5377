"""
A broker whose every change and answer is compared with
L{tests.broker.reference}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from attrs import define, field
from hypothesis.stateful import RuleBasedStateMachine, invariant

from jobroute import model as m
from jobroute.model import Held, PartState, ReplyKind
from jobroute.testing.disk import SimulatedDisk
from tests.broker.facts import OUTCOMES, Agent, Key, Slot
from tests.broker.kit import FakeAgent, Kit, Reply
from tests.broker.reference import Reference

#: Seconds until a job expires that says nothing of it.  Limits and delays,
#: and sums of them, end between two ticks, so that no rounding decides.
DEADLINE = 45.25

#: Which counter counts which change.
COUNTERS: dict[type, str] = {
    m.JobAccepted: "jobs_accepted",
    m.AttemptMade: "deliveries",
    m.PartQueued: "parts_queued_again",
    m.AgentKnown: "registrations",
}


@define(eq=False)
class Recorder(SimulatedDisk):
    """
    A disk that shows what it was given to write.
    """

    written: list[m.Change] = field(factory=list, init=False)

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


class Judged(RuleBasedStateMachine):
    """
    One broker, and what must hold of it whatever is done.
    """

    def __init__(self) -> None:
        super().__init__()
        # Quarantine has its own tests.
        self.kit = RecordingKit(changes={"deadline": DEADLINE, "max_lost": 1000})
        self.model = Reference(self.kit.clocks.wall_now)
        self.fakes: list[FakeAgent] = []
        self.jobs: dict[str, bytes] = {}
        self.trouble = False
        self.begin()

    def begin(self) -> None:
        """
        An epoch has begun.
        """
        self.asked: list[Asked] = []
        self.waits: list[tuple[str, Reply]] = []
        self.counts: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.hold = False
        self.kit.disk.written.clear()
        self.kit.hold = True

    # -- Helpers

    def step(self) -> None:
        """
        Judge what was written, and commit it unless somebody holds it.
        """
        kit = self.kit
        self.look()
        while True:
            assert not kit.broker.journal._changes, "nobody writes it"
            written, kit.disk.written = kit.disk.written, []
            for change in written:
                self.counts[COUNTERS.get(type(change), "")] += 1
                if isinstance(change, m.PartEnded):
                    self.counts[f"verdicts_{change.verdict}"] += 1
            self.model.step(written, kit.broker.journal.position)
            if self.hold or not kit.disk.pending:
                return
            self.commit_until(kit.broker.journal.position)

    def commit_until(self, position: int) -> None:
        """
        Commit all that was written in some steps.
        """
        self.kit.disk.commit(position)
        self.model.commit(position)
        self.look()

    def look(self) -> None:
        """
        See what was sent to agents.
        """
        for fake in self.fakes:
            identity = fake.announcement.incarnation
            for d in fake.deliveries[self.seen[identity] :]:
                self.model.delivered(identity, (d.part, d.attempt))
                self.facts(fake).sent((d.part, d.attempt))
                self.seen[identity] += 1

    def facts(self, fake: FakeAgent) -> Agent:
        """
        What is known of an incarnation.
        """
        return self.model.agents[fake.announcement.incarnation]

    def living(self) -> dict[str, Agent]:
        """
        What is known of the agents that live, by name.
        """
        return {name: self.model.agents[i] for name, i in self.model.state.living.items()}

    def again(self) -> None:
        """
        The broker has begun again: it has what is on disk, and asks who is
        there.
        """
        model = self.model
        model.crash()
        self.fakes = [self.kit.returned(fake) for fake in self.fakes]
        for agent in model.agents.values():
            agent.begin(model.now, suspect=True)
        for number, part in model.state.parts.items():
            if part.state is PartState.RUNNING:
                slot = Slot(model.now, doubtful=False)
                model.agents[part.holder].held[number, part.made] = slot
        for record in self.kit.disk.open_parts():
            part = model.state.parts[record.number]
            assert (record.state, record.attempt) == (part.state, part.made)
            assert (record.verdict, record.partials) == (part.verdict, part.partials)
        self.begin()

    def ask(self, reply: Reply, job: str | None, /, **expected: Any) -> None:
        """
        Something was asked that waits for the disk, unless its job is over.
        """
        position = 0 if job and self.over(job) else self.kit.broker.journal.position
        self.asked.append(Asked(reply, position, expected))

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

    def holder(self, incarnation: str) -> FakeAgent:
        """
        Who an incarnation is.
        """
        return next(f for f in self.fakes if f.announcement.incarnation == incarnation)

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

    def meant(self, service: str, target: m.Target) -> list[str]:
        """
        Whom a job for several can mean.
        """
        if target.names is not None and target.count is None:
            return list(target.names)
        return [
            name
            for name, agent in self.living().items()
            if service in agent.who.services and not agent.draining
            if target.names is None or name in target.names
        ]

    # -- What is done, with the model told

    def beat(self, fake: FakeAgent, keys: list[Key]) -> None:
        """
        Let an agent say what it holds.
        """
        fake.agents.beat(fake.route, [Held(*key) for key in keys])
        self.facts(fake).beat(keys, self.model.now)

    def say(
        self, fake: FakeAgent, key: Key, kind: ReplyKind, count: int, keeps: bool = False
    ) -> None:
        """
        Let an agent say something of an attempt.

        @param keeps: whether it has no slot back, though it is over.
        """
        model, identity = self.model, fake.announcement.incarnation
        value = keeps if kind is ReplyKind.CANCELLED else ""
        fake.agents.replied(fake.route, *key, kind, value, count, (b"r",))
        model.reply(identity, key, kind, count)
        self.facts(fake).hear(model.now)
        if kind in OUTCOMES and not keeps:
            current, kept = model.current(identity, key), model.saved.parts.get(key[0])
            if not current or model.state.parts[key[0]].answer:
                # What is late while its end is on the way to the disk is overlooked.
                self.facts(fake).give_back(key, current or bool(kept and kept.verdict))
        self.step()

    def pass_time(self, seconds: float, beating: Sequence[FakeAgent] = ()) -> None:
        """
        Time passes, these agents beat, and the broker looks at its clock.
        """
        self.kit.clocks.advance(seconds)
        self.kit.reactor.advance(seconds)
        self.model.now = self.kit.clocks.wall_now
        for fake in beating:
            if self.facts(fake) is self.living().get(fake.name):
                self.beat(fake, list(self.facts(fake).held))
        self.kit.broker.tick()
        for agent in self.living().values():
            agent.tick(self.model.now)
        self.step()

    # -- What must hold

    @invariant()
    def told(self) -> None:
        """
        Nobody is told what is not on disk, and everybody what is.
        """
        stored = self.kit.broker.journal.stored
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
    def listed(self) -> None:
        """
        C{LIST} says the truth of agents: no slot is forgotten or given twice.
        """
        model, state, living = self.model, self.model.state, self.living()
        said = self.kit.ask("LIST").result
        assert set(said) <= set(living)
        assert len(set(state.numbers.values())) == len(state.numbers), "two have one number"
        assert model.written or set(said) == set(living)
        for name, agent in said.items():
            facts, held = living[name], agent["outstanding"]
            assert agent["number"] == model.saved.numbers[name]
            assert held <= facts.who.slots, f"{name} has too much"
            identity = facts.who.incarnation
            certain = sum(model.current(identity, k) or not facts.doubts(k) for k in facts.held)
            assert certain <= held <= len(facts.held), f"{name} has another number of slots"
            assert agent["drained"] == (("agent", name) in state.stopped)
            word = "suspect" if facts.suspect else "busy" if held else "ready"
            if not facts.suspect and (facts.draining or agent["drained"]):
                word = "draining"
            assert agent["state"] == word

    @invariant()
    def counted(self) -> None:
        """
        C{STATS} says the truth.
        """
        stats, saved = self.kit.ask("STATS").result, self.model.saved
        parts, now = self.model.state.parts, self.model.now
        counts = {name: count for name, count in self.counts.items() if name}
        assert {name: stats["counters"][name] for name in counts} == counts
        gauges, services = stats["gauges"], stats["services"]
        waiting = [p for p in parts.values() if p.state is PartState.QUEUED]
        queued = Counter(p.job.service for p in waiting if p.due <= now)
        later = Counter(p.job.service for p in waiting if p.due > now)
        assert Counter({n: s["queued"] for n, s in services.items()}) == queued
        assert Counter({n: s["waiting"] for n, s in services.items()}) == later
        assert (gauges["queued"], gauges["waiting"]) == (queued.total(), later.total())
        paused = {("service", name) for name, service in services.items() if service["paused"]}
        assert paused == {one for one in self.model.state.stopped if one[0] == "service"}
        held = sum(agent["outstanding"] for agent in self.kit.ask("LIST").result.values())
        assert self.model.written or gauges["running"] == held
        done = {n for n, p in saved.parts.items() if p.verdict}
        assert gauges["jobs"] == len({p.job.id for n, p in parts.items() if n not in done})
        assert stats["storage"]["parts"] == len(saved.parts)
        assert stats["storage"]["jobs"] == len({p.job.id for p in saved.parts.values()})
