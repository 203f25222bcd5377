"""
What a dispatcher may write, and what it must: a small model to judge it by.

A test says what happened, and shows every change that the broker writes: each
needs a reason, and none that is due may be missing.  The model chooses nothing:
which agent has a part, and when exactly a silent one loses it, it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from math import inf

from attrs import define, field

from jobroute import model as m
from jobroute.model import PartState, ReplyKind, Verdict
from tests.broker.facts import OUTCOMES, Agent, Key

QUEUED, RUNNING, DONE = PartState


@define
class Part:
    """A part; C{holder} is the incarnation that has its latest attempt."""

    job: m.JobRecord
    names: tuple[str, ...] | None
    queue_until: float
    state: PartState = QUEUED
    made: int = 0
    holder: str = ""
    partials: int = 0
    due: float = 0.0
    run_until: float = inf
    cancelling: bool = False
    answer: Verdict | None = None
    verdict: Verdict | None = None


@define
class State:
    """All that is kept: parts, incarnations and numbers by name, and what is stopped."""

    parts: dict[int, Part] = field(factory=dict)
    living: dict[str, str] = field(factory=dict)
    numbers: dict[str, int] = field(factory=dict)
    stopped: set[tuple[str, str]] = field(factory=set)


@define
class Reference:
    """Of all C{written}, C{saved} is on disk; C{agents} are facts, by incarnation."""

    now: float
    agents: dict[str, Agent] = field(factory=dict)
    state: State = field(factory=State)
    saved: State = field(factory=State)
    written: list[tuple[int, State]] = field(factory=list)
    asked: set[int] = field(factory=set)

    # -- What happens

    def cancel(self, numbers: Sequence[int]) -> int:
        """A client cancels parts; tells how many it still can."""
        self.asked = {n for n in numbers if self.state.parts[n].verdict is None}
        return len(self.asked)

    def current(self, incarnation: str, key: Key) -> bool:
        """Whether an attempt is the one that counts, and that incarnation has it."""
        part = self.state.parts.get(key[0])
        return bool(part and (part.state, part.holder, part.made) == (RUNNING, incarnation, key[1]))

    def reply(self, incarnation: str, key: Key, kind: ReplyKind, partials: int) -> None:
        """An agent says something; it counts if it ends the attempt that counts."""
        if kind in OUTCOMES and self.current(incarnation, key):
            part = self.state.parts[key[0]]
            if OUTCOMES[kind] is Verdict.LOST or partials <= part.partials:
                part.answer = OUTCOMES[kind]

    def delivered(self, incarnation: str, key: Key) -> None:
        """An agent was sent an attempt, which has to be on disk."""
        kept, part = self.saved.parts.get(key[0]), self.state.parts[key[0]]
        assert kept and (kept.holder, kept.made) == (incarnation, key[1]), "it is not on disk"
        if part.made == key[1]:
            part.run_until = min(part.run_until, self.now + (part.job.run_limit or inf))

    def commit(self, position: int) -> None:
        """All that was written up to there is on disk."""
        while self.written and self.written[0][0] <= position:
            self.saved = self.written.pop(0)[1]

    def crash(self) -> None:
        """The broker begins again, with what is on disk and nothing else."""
        self.state, self.written, self.asked = deepcopy(self.saved), [], set()
        for part in self.state.parts.values():
            part.answer, part.run_until = None, self.now + (part.job.run_limit or inf)
            if part.made and part.state is QUEUED:
                part.queue_until = (part.due or self.now) + (part.job.queue_limit or inf)

    # -- What may be written

    def outcomes(self, number: int, part: Part) -> set[Verdict]:
        """With what a part's wait or attempt may be over now."""
        found = {part.answer} if part.answer else set()
        if part.state is QUEUED:
            found |= {Verdict.CANCELLED} if number in self.asked else set()
            found |= {Verdict.EXPIRED} if self.now >= part.queue_until else set()
        elif part.state is RUNNING:
            agent, key = self.agents[part.holder], (number, part.made)
            gone = part.holder not in self.state.living.values() or agent.lapsed(key, self.now)
            found |= {Verdict.TIMED_OUT} if self.now >= part.run_until else set()
            found |= {Verdict.LOST} if gone or (part.cancelling and agent.doubts(key)) else set()
        found |= {Verdict.EXPIRED} if self.now >= part.job.deadline else set()
        lost = Verdict.CANCELLED if part.cancelling else Verdict.LOST
        return {lost if outcome is Verdict.LOST else outcome for outcome in found}

    def again(self, part: Part, verdict: Verdict) -> float | None:
        """When there is another attempt instead of a verdict; L{None} is never."""
        retry = part.job.retry or m.Retry()
        if part.cancelling or part.made >= part.job.attempts or verdict not in retry.on:
            return None
        delay = 0.0 if verdict is Verdict.LOST else retry.delay * retry.factor ** (part.made - 1)
        return self.now + delay if self.now + delay < part.job.deadline else None

    def may(self, name: str, part: Part) -> bool:
        """Whether an agent with a free slot may have a part."""
        agent, service = self.agents[self.state.living[name]], part.job.service
        fits = service in agent.who.services and (part.names is None or name in part.names)
        waits = part.state is QUEUED and self.now >= part.due
        stopped = {("agent", name), ("service", service)} & self.state.stopped
        return fits and waits and agent.open and not stopped

    def read(self, change: m.Change) -> None:
        """One thing was written."""
        state, parts = self.state, self.state.parts
        match change:
            case m.JobAccepted(job, made):
                assert job.id not in {part.job.id for part in parts.values()}, "it is there"
                until = self.now + (job.queue_limit or inf)
                parts.update({p.number: Part(job, p.names, until) for p in made})
            case m.AttemptMade(number, attempt, name, incarnation):
                part, agent = parts[number], self.agents[incarnation]
                holds = [p.holder for p in parts.values() if p.state is RUNNING]
                assert self.saved.living[name] == state.living[name] == incarnation
                assert self.may(name, part) and holds.count(incarnation) < agent.who.slots
                assert attempt == part.made + 1 <= part.job.attempts, "one attempt too many"
                rivals = [p.job.priority for p in parts.values() if self.may(name, p)]
                assert part.job.priority == max(rivals), "another part comes first"
                part.state, part.made, part.holder = RUNNING, attempt, incarnation
                part.partials, part.run_until = 0, inf
                agent.give((number, attempt), self.now)
            case m.PartQueued(number, due):
                part, begins = parts[number], due or self.now
                again = {self.again(part, outcome) for outcome in self.outcomes(number, part)}
                assert part.state is RUNNING and begins in again, "it must not have another"
                part.state, part.answer, part.due = QUEUED, None, due or 0.0
                part.queue_until = begins + (part.job.queue_limit or inf)
            case m.PartEnded(number, verdict):
                part = parts[number]
                assert part.verdict is None and verdict in self.outcomes(number, part), verdict
                assert self.again(part, verdict) is None, "it is worth another attempt"
                part.state, part.verdict = DONE, verdict
            case m.CancelRequested(number):
                assert number in self.asked and parts[number].state is RUNNING
                parts[number].cancelling = True
            case m.PartialStored(number, attempt, sequence):
                assert (attempt, sequence) == (parts[number].made, parts[number].partials + 1)
                parts[number].partials = sequence
            case m.AgentKnown(m.AgentRecord(name, number, incarnation)):
                assert name not in state.living and not self.agents[incarnation].left
                assert state.numbers.setdefault(name, number) == number, "another number"
                state.living[name] = incarnation
                self.agents[incarnation].begin(self.now)
            case m.AgentLeft(name):
                agent = self.agents[state.living.pop(name)]
                assert agent.may_go(self.now, self.agents.values()), f"{name} is there"
            case m.Stopped(what, name, stopped):
                (state.stopped.add if stopped else state.stopped.remove)((what, name))

    # -- What must be written

    def step(self, changes: Sequence[m.Change], position: int) -> None:
        """All this was written; was there a reason for each, and is none missing?"""
        for change in changes:
            self.read(change)
        self.written += [(position, deepcopy(self.state))] if changes else []
        for number, part in self.state.parts.items():
            running, living = part.state is RUNNING, self.state.living.items()
            until = min(part.job.deadline, part.run_until if running else part.queue_until)
            over = part.answer or (running and part.holder not in dict(living).values())
            ignored = number in self.asked and not part.cancelling
            assert part.verdict or not (over or ignored or self.now >= until), f"over: {part}"
            for name, incarnation in living if not self.written else ():
                idle = self.agents[incarnation].idle and self.may(name, part)
                assert not idle, f"part {number} waits for nothing"
        assert not any(self.agents[i].must_go(self.now) for i in self.state.living.values())
        self.asked = set()
