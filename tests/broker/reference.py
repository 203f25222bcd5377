"""
A dispatcher as small as it can be, to compare the real one with.

It decides everything but which of several agents gets a part, and which of
several are meant by a number: that it is told, and says whether it may be.
It keeps no queues, timers or indexes; it looks at everything each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from math import inf
from typing import Any

from attrs import define, field

from jobroute import model as m
from jobroute.model import ReplyKind, Verdict

INTERVAL, LEASE, GRACE = 2.0, 10.0, 30.0
Key = tuple[int, int]
FINAL = {ReplyKind.RESULT: "succeeded", ReplyKind.FAILURE: "failed", ReplyKind.REFUSED: "refused"}


@define
class Part:
    """
    A part; C{holder} is the incarnation that has its latest attempt.
    """

    job: m.JobRecord
    names: tuple[str, ...] | None
    expires: float
    queue_until: float
    state: str = "queued"
    made: int = 0
    holder: str = ""
    partials: int = 0
    cancelling: bool = False
    verdict: Verdict | None = None


@define
class Attempt:
    """
    What an agent was given.
    """

    renewed: float
    sent: float = inf
    run_until: float = inf
    stopping: bool = False


@define
class Agent:
    """
    An agent that lives.
    """

    who: m.Announcement
    heard: float
    limit: float = LEASE
    suspect: bool = False
    draining: bool = False
    welcome: bool = False
    stored: bool = False
    held: dict[Key, Attempt] = field(factory=dict)
    settling: set[Key] = field(factory=set)

    def welcomed(self) -> None:
        """
        Its registration is on disk.
        """
        self.welcome = self.stored = True

    @property
    def free(self) -> bool:
        """
        Whether it takes another part.
        """
        open = self.welcome and not self.suspect and not self.draining
        return open and len(self.held) < self.who.slots

    @property
    def word(self) -> str:
        """
        What C{LIST} says of it.
        """
        if self.suspect:
            return "suspect"
        return "draining" if self.draining else "busy" if self.held else "ready"


@define
class State:
    """
    What there is: parts by number, agents by incarnation, numbers by name.
    """

    parts: dict[int, Part] = field(factory=dict)
    agents: dict[str, Agent] = field(factory=dict)
    numbers: dict[str, int] = field(factory=dict)


@define
class Reference:
    """
    The dispatcher.  Each method says what may and must be in the journal
    next: verdicts in C{ends}, attempts that are C{gone}, agents that are
    C{leaving}, and whatever else is C{due}.  L{step} then reads the journal.
    """

    now: float
    state: State = field(factory=State)
    saved: State = field(factory=State)
    history: list[tuple[int, State]] = field(factory=list)
    stored: int = 0
    parked: list[tuple[float, Callable[[], None]]] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    newcomers: dict[str, list[Any]] = field(factory=dict)
    leases: float = -inf
    trouble: bool = False
    ends: dict[int, str] = field(factory=dict)
    gone: set[Key] = field(factory=set)
    leaving: set[str] = field(factory=set)
    due: list[Any] = field(factory=list)

    def living(self, name: str) -> Agent | None:
        """
        The agent of a name.
        """
        found = [a for i, a in self.state.agents.items() if a.who.name == name]
        return next((a for a in found if a.who.incarnation not in self.leaving), None)

    def may(self, agent: Agent, part: Part) -> bool:
        """
        Whether an agent can be given a part, if it is free.
        """
        fits = part.names is None or agent.who.name in part.names
        return fits and part.job.service in agent.who.services

    def current(self, incarnation: str, key: Key) -> bool:
        """
        Whether an attempt is the one that counts.
        """
        part = self.state.parts.get(key[0])
        return bool(
            part and part.state == "running" and (part.holder, part.made) == (incarnation, key[1])
        )

    def offering(self, service: str, names: Collection[str] | None) -> list[str]:
        """
        Who a job for several can mean.
        """
        agents = [a for a in self.state.agents.values() if not a.draining]
        fit = [a.who.name for a in agents if service in a.who.services]
        return [name for name in fit if names is None or name in names]

    # -- What is said

    def submit(self, service: str, target: m.Target) -> str:
        """
        A new job, or why it is refused.
        """
        names, count = target.names, target.count
        if any(self.living(name) is None for name in names or ()):
            return "no-such-agent"
        if count != 1 and (names is None or count is not None):
            if len(self.offering(service, names)) < (count or 1):
                return "not-enough-agents"
        if self.trouble:
            return "storage-unavailable"
        self.due.append((m.JobAccepted, service, target))
        return ""

    def cancel(self, numbers: Sequence[int]) -> int:
        """
        Cancel parts.
        """
        parts = {n: self.state.parts[n] for n in numbers if not self.state.parts[n].verdict}
        for number, part in parts.items():
            if part.state == "queued":
                self.ends[number] = "cancelled"
            elif not part.cancelling:
                part.cancelling = True
                self.due.append((m.CancelRequested, number))
                self.stop(part.holder, (number, part.made))
        return len(parts)

    def stop(self, incarnation: str, key: Key) -> None:
        """
        Let an attempt be stopped, or not even sent.
        """
        agent = self.state.agents[incarnation]
        agent.held[key].stopping = True

        def stop() -> None:
            if key in agent.held and agent.held[key].sent == inf:
                del agent.held[key]
                if self.current(incarnation, key):
                    self.ends[key[0]] = "cancelled"

        self.park(stop)

    def lose(self, agent: Agent, key: Key) -> None:
        """
        An attempt is over without an answer.
        """
        del agent.held[key]
        if self.current(agent.who.incarnation, key):
            self.gone.add(key)

    def hear(self, agent: Agent) -> None:
        """
        An agent lives.
        """
        agent.heard, agent.limit = self.now, LEASE
        if agent.suspect:
            agent.suspect = False
            for attempt in agent.held.values():
                attempt.renewed = self.now
            self.park(agent.welcomed)

    def beat(self, incarnation: str, held: Collection[Key]) -> None:
        """
        An agent says what it holds.
        """
        agent = self.state.agents.get(incarnation)
        if agent is None:
            return
        self.hear(agent)
        for key, attempt in list(agent.held.items()):
            if key in held or attempt.sent == inf:
                attempt.renewed = self.now
            elif self.now - attempt.sent < INTERVAL:
                pass
            elif attempt.stopping or not self.current(incarnation, key) or self.lapsed(attempt):
                self.lose(agent, key)
            elif self.now - attempt.renewed < LEASE:
                self.counts["deliveries_repeated"] += 1
                attempt.sent = self.now

    def lapsed(self, attempt: Attempt) -> bool:
        """
        Whether a lease is over.
        """
        return self.now >= max(attempt.sent + 2 * INTERVAL, attempt.renewed + LEASE)

    def reply(self, incarnation: str, key: Key, kind: ReplyKind, count: int, more: bool) -> None:
        """
        An agent says something of an attempt.
        """
        agent = self.state.agents.get(incarnation)
        if agent is None:
            return
        self.hear(agent)
        part = self.state.parts.get(key[0])
        if part is None or not self.current(incarnation, key):
            if kind in (ReplyKind.PROGRESS, ReplyKind.STARTED) or key in agent.settling:
                return
            self.counts["replies_refused"] += kind is not ReplyKind.CANCELLED
            if kind is not ReplyKind.PARTIAL and not more:
                agent.held.pop(key, None)
        elif kind is ReplyKind.PARTIAL:
            if count == part.partials + 1:
                part.partials += 1
                self.due.append((m.PartialStored, key[0]))
        elif kind is ReplyKind.CANCELLED and not part.cancelling:
            self.counts["replies_refused"] += 1
            attempt = agent.held[key]
            self.lose(agent, key)
            if more:
                agent.held[key] = attempt
        elif kind is ReplyKind.LOST:
            self.counts["replies"] += 1
            self.lose(agent, key)
            agent.settling.add(key)
            self.park(lambda: agent.settling.discard(key))
        elif kind in FINAL or kind is ReplyKind.CANCELLED:
            if kind in FINAL and count > part.partials:
                return
            self.counts["replies"] += kind in FINAL
            self.ends[key[0]] = FINAL.get(kind, "cancelled")
            agent.settling.add(key)
            self.park(lambda: agent.settling.discard(key))
            if not more:
                del agent.held[key]

    def released(self, incarnation: str, key: Key) -> None:
        """
        An agent has a slot back.
        """
        agent = self.state.agents.get(incarnation)
        if agent is not None:
            self.hear(agent)
            if not self.current(incarnation, key):
                agent.held.pop(key, None)

    def drain(self, incarnation: str) -> None:
        """
        An agent wants no more.
        """
        agent = self.state.agents.get(incarnation)
        if agent is not None:
            self.hear(agent)
            agent.draining = True

    def unregister(self, incarnation: str) -> None:
        """
        An agent leaves, or does not want to come any more.
        """
        self.newcomers.pop(incarnation, None)
        if incarnation in self.state.agents:
            self.leave(self.state.agents[incarnation])

    def announce(self, who: m.Announcement, held: Collection[Key]) -> None:
        """
        Somebody says who it is, and answers the ping.
        """
        self.newcomers[who.incarnation] = [who, None, self.now]
        self.decide(who.incarnation)
        self.beat(who.incarnation, held)

    def decide(self, incarnation: str) -> None:
        """
        Whether somebody is an agent now; it is not while another has its name
        and has not had the time to say something.
        """
        newcomer = self.newcomers[incarnation]
        who, asked, since = newcomer
        rival = self.living(who.name)
        if rival is not None and rival.who.incarnation != incarnation:
            if rival is not asked:
                newcomer[1:] = rival, self.now
            elif rival.heard > since:
                del self.newcomers[incarnation]
                return
            if self.now - newcomer[2] < INTERVAL:
                return
            self.leave(rival)
            self.counts["agents_lost"] += 1
            rival = None
        del self.newcomers[incarnation]
        if rival is None:
            rival = self.state.agents[incarnation] = Agent(who, self.now)
            self.due.append((m.AgentKnown, who.name))
            self.counts["registrations"] += 1
        self.hear(rival)
        agent = rival
        self.park(agent.welcomed)

    def leave(self, agent: Agent) -> None:
        """
        An agent lives no more.
        """
        self.leaving.add(agent.who.incarnation)
        self.due.append((m.AgentLeft, agent.who.name))

    def tick(self, now: float) -> None:
        """
        Time has passed.
        """
        self.now = now
        for agent in list(self.state.agents.values()):
            if now >= agent.heard + agent.limit:
                self.leave(agent)
                self.counts["agents_lost"] += 1
            elif now >= self.leases and not agent.suspect:
                for key, attempt in list(agent.held.items()):
                    if self.lapsed(attempt):
                        self.lose(agent, key)
        if now >= self.leases:
            self.leases = now + INTERVAL
        for incarnation in list(self.newcomers):
            self.decide(incarnation)
        for number, part in self.state.parts.items():
            key = number, part.made
            if part.verdict is None and now >= part.expires:
                self.ends[number] = "expired"
            elif part.state == "queued" and now >= part.queue_until:
                self.ends[number] = "expired"
            elif part.state == "running" and not self.lost(number):
                if now >= self.state.agents[part.holder].held[key].run_until:
                    self.ends[number] = "timed_out"

    def commit(self, position: int) -> None:
        """
        Everything until there is on disk.
        """
        self.stored = position
        while self.history and self.history[0][0] <= position:
            _, self.saved = self.history.pop(0)
        while self.parked and self.parked[0][0] <= position:
            self.parked.pop(0)[1]()

    def crash(self) -> None:
        """
        The broker is started again with what is on disk.
        """
        state, now = deepcopy(self.saved), self.now
        for agent in state.agents.values():
            agent.suspect, agent.draining, agent.welcome = True, False, False
            agent.stored = True
            agent.heard, agent.limit, agent.held, agent.settling = now, GRACE, {}, set()
        for number, part in sorted(state.parts.items()):
            limits = part.job.queue_limit, part.job.run_limit
            if part.state == "running":
                attempt = Attempt(now, now, now + (limits[1] or inf), part.cancelling)
                state.agents[part.holder].held[number, part.made] = attempt
            elif part.made:
                part.queue_until = now + (limits[0] or inf)
        self.__init__(now, state, deepcopy(state))  # type: ignore[misc]

    # -- What is written

    def park(self, effect: Callable[[], None]) -> None:
        """
        Do something when all that is said now is on disk.
        """
        self.parked.append((inf, effect))

    def lost(self, number: int) -> bool:
        """
        Whether the latest attempt at a part is lost.
        """
        part = self.state.parts[number]
        key = number, part.made
        return part.state == "running" and (key in self.gone or part.holder in self.leaving)

    def step(self, changes: Sequence[m.Change], position: int) -> None:
        """
        This was written, and may all be written, and nothing is missing.
        """
        for change in changes:
            self.read(change)
        state = self.state
        for incarnation in self.leaving:
            del state.agents[incarnation]
        missing = [n for n in self.ends if state.parts[n].verdict is None]
        lost = [n for n in state.parts if self.lost(n)]
        assert not (self.due or missing or lost), (self.due, missing, lost)
        self.ends, self.gone, self.leaving = {}, set(), set()
        for agent in state.agents.values():
            assert len(agent.held) <= agent.who.slots, f"{agent.who.name} has too much"
            for number, part in state.parts.items():
                idle = part.state == "queued" and agent.free and self.may(agent, part)
                assert not idle, f"part {number} waits for nothing"
        self.parked = [(min(at, position), effect) for at, effect in self.parked]
        self.history.append((position, deepcopy(state)))
        self.commit(self.stored)

    def read(self, change: m.Change) -> None:
        """
        One thing was written.
        """
        parts, agents = self.state.parts, self.state.agents
        match change:
            case m.JobAccepted(job, made):
                self.accepted(job, made)
            case m.AttemptMade(number, attempt, _, incarnation):
                part, agent = parts[number], agents[incarnation]
                fits = agent.free and self.may(agent, part)
                assert fits and part.state == "queued" and attempt == part.made + 1
                rivals = [p for p in parts.values() if p.state == "queued" and self.may(agent, p)]
                assert part.job.priority == max(p.job.priority for p in rivals)
                part.state, part.made, part.holder, part.partials = (
                    "running",
                    attempt,
                    incarnation,
                    0,
                )
                agent.held[number, attempt] = Attempt(self.now)
                self.counts["deliveries"] += 1
                if self.now < part.expires:
                    # It was given away just before it waited for too long.
                    self.ends.pop(number, None)
                self.park(lambda: self.deliver(incarnation, (number, attempt)))
            case m.PartQueued(number):
                part = parts[number]
                assert self.lost(number) and part.made < part.job.attempts and not part.cancelling
                part.state, part.queue_until = "queued", self.now + (part.job.queue_limit or inf)
                self.counts["attempts_lost"] += 1
            case m.PartEnded(number, verdict):
                part, because = parts[number], self.ends.get(number)
                assert part.verdict is None
                if verdict != because:
                    spent = part.made >= part.job.attempts
                    because = "cancelled" if part.cancelling else "lost" if spent else None
                    assert self.lost(number) and verdict == because, f"{verdict} of part {number}"
                    self.counts["attempts_lost"] += 1
                elif part.state == "running" and verdict in ("expired", "timed_out"):
                    self.stop(part.holder, (number, part.made))
                part.state, part.verdict = "done", verdict
                self.counts[f"verdicts_{verdict}"] += 1
            case m.AgentKnown(m.AgentRecord(name, number)):
                self.due.remove((m.AgentKnown, name))
                assert self.state.numbers.setdefault(name, number) == number
                assert len(set(self.state.numbers.values())) == len(self.state.numbers)
            case m.AgentLeft(name):
                self.due.remove((m.AgentLeft, name))
            case m.CancelRequested(number) | m.PartialStored(number):
                self.due.remove((type(change), number))

    def accepted(self, job: m.JobRecord, made: Sequence[m.PartRecord]) -> None:
        """
        A job was written, for these agents.
        """
        names, count = job.target.names, job.target.count
        assert self.due.pop() == (m.JobAccepted, job.service, job.target)
        chosen = [part.names for part in made]
        if count == 1:
            assert chosen == [names]
        elif count is None and names is not None:
            assert chosen == [(name,) for name in names]
        else:
            fit = self.offering(job.service, names)
            flat = {name for one in chosen for name in one or ()}
            assert flat <= set(fit) and len(flat) == len(chosen) == (count or len(fit))
        for part in made:
            expires = self.now + job.deadline - job.submitted
            waits = self.now + (job.queue_limit or inf)
            self.state.parts[part.number] = Part(job, part.names, expires, waits)
        self.counts["jobs_accepted"] += 1

    def deliver(self, incarnation: str, key: Key) -> None:
        """
        An attempt that is on disk is sent, if it still counts.
        """
        agent = self.state.agents.get(incarnation)
        if agent is not None and self.current(incarnation, key):
            attempt = agent.held[key]
            if not attempt.stopping:
                limit = self.state.parts[key[0]].job.run_limit
                attempt.sent, attempt.run_until = self.now, self.now + (limit or inf)
