"""
A whole broker without sockets: its clocks and its disk obey the test.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from attrs import define, evolve, field
from twisted.internet.task import Clock
from zope.interface import implementer

from jobroute.assembly import Broker, assemble
from jobroute.config import Limits, Settings
from jobroute.interfaces import (
    AnswerKind,
    Caller,
    Delivery,
    IAgentRoute,
    IAgents,
    IClock,
    IReplyTo,
)
from jobroute.model import Announcement, Frames, Held, ReplyKind
from jobroute.testing.disk import SimulatedDisk

FINAL = (AnswerKind.RESULT, AnswerKind.ERROR)


@implementer(IClock)
@define(eq=False, repr=False)
class Clocks:
    """
    Two clocks that stand still.
    """

    now: float = 1000.0
    wall_now: float = 1_700_000_000.0

    def monotonic(self) -> float:
        """
        See L{IClock.monotonic}.
        """
        return self.now

    def wall(self) -> float:
        """
        See L{IClock.wall}.
        """
        return self.wall_now

    def advance(self, seconds: float) -> None:
        """
        Time passes.
        """
        self.now += seconds
        self.wall_now += seconds


@implementer(IAgentRoute)
@define(eq=False, repr=False)
class Route:
    """
    A way to an agent that ends in a list.

    @ivar said: the name of each message, with what it says.
    @ivar reachable: whether what is delivered can leave.
    """

    identity: str
    agent: Any = None
    said: list[tuple[Any, ...]] = field(factory=list)
    closed: int = 0
    reachable: bool = True

    def ping(self, nonce: str) -> bool:
        """
        See L{IAgentRoute.ping}.
        """
        self.said.append(("ping", nonce))
        return True

    def welcome(
        self, number: int, epoch: int, interval: float, liveness: int, held: Sequence[Held]
    ) -> None:
        """
        See L{IAgentRoute.welcome}.
        """
        self.said.append(("welcome", number, epoch, [(h.part, h.attempt) for h in held]))

    def refuse(self, code: str, text: str) -> None:
        """
        See L{IAgentRoute.refuse}.
        """
        self.said.append(("refuse", code, text))

    def reregister(self) -> None:
        """
        See L{IAgentRoute.reregister}.
        """
        self.said.append(("reregister",))

    def deliver(self, delivery: Delivery) -> bool:
        """
        See L{IAgentRoute.deliver}.
        """
        self.said.append(("deliver", delivery))
        return self.reachable

    def cancel(self, part: int, attempt: int) -> None:
        """
        See L{IAgentRoute.cancel}.
        """
        self.said.append(("cancel", part, attempt))

    def input(self, part: int, attempt: int, payload: Frames) -> None:
        """
        See L{IAgentRoute.input}.
        """
        self.said.append(("input", part, attempt, payload))

    def acknowledge(self, part: int, attempt: int, sequence: int = 0) -> None:
        """
        See L{IAgentRoute.acknowledge}.
        """
        self.said.append(("ack", part, attempt, sequence))

    def farewell(self) -> None:
        """
        See L{IAgentRoute.farewell}.
        """
        self.said.append(("farewell",))

    def close(self) -> None:
        """
        See L{IAgentRoute.close}.
        """
        self.closed += 1

    def of(self, message: str) -> list[tuple[Any, ...]]:
        """
        What was said with these messages, without their name.
        """
        return [rest for name, *rest in self.said if name == message]  # type: ignore[misc]


@implementer(IReplyTo)
@define(eq=False, repr=False)
class Reply:
    """
    Where answers end in a list.
    """

    answers: list[tuple[AnswerKind, Any, Frames]] = field(factory=list)

    def answer(self, kind: AnswerKind, value: Any, payload: Frames = ()) -> None:
        """
        See L{IReplyTo.answer}.
        """
        self.answers.append((kind, value, payload))

    @property
    def finals(self) -> list[tuple[AnswerKind, Any, Frames]]:
        """
        The final answers; there may be one.
        """
        return [answer for answer in self.answers if answer[0] in FINAL]

    @property
    def done(self) -> bool:
        """
        Whether the final answer was given, and nothing after it.
        """
        finals = self.finals
        assert len(finals) <= 1, finals
        assert not finals or self.answers[-1][0] in FINAL, self.answers
        return bool(finals)

    @property
    def result(self) -> Any:
        """
        What the final answer says, as JSON.
        """
        assert self.done, "There is no answer yet."
        kind, value, _ = self.answers[-1]
        assert kind is AnswerKind.RESULT, repr(value)
        return msgspec.json.decode(msgspec.json.encode(value))

    @property
    def payload(self) -> Frames:
        """
        The frames of the final answer.
        """
        assert self.done, "There is no answer yet."
        return self.answers[-1][2]

    @property
    def code(self) -> str:
        """
        Why it was refused.
        """
        assert self.done, "There is no answer yet."
        kind, error, _ = self.answers[-1]
        assert kind is AnswerKind.ERROR, error
        return str(error.code)

    @property
    def text(self) -> str:
        """
        Why it was refused, for people.
        """
        assert self.code
        return str(self.answers[-1][1])

    def of(self, kind: AnswerKind) -> list[tuple[Any, Frames]]:
        """
        The answers of one kind.
        """
        return [(value, payload) for k, value, payload in self.answers if k is kind]


@define(eq=False, repr=False)
class FakeAgent:
    """
    An agent that does what the test says.
    """

    kit: Kit
    announcement: Announcement
    route: Route

    @property
    def name(self) -> str:
        """
        Its name.
        """
        return self.announcement.name

    @property
    def agents(self) -> IAgents:
        """
        The broker's side of it, in this epoch.
        """
        return self.kit.broker.agents

    @property
    def deliveries(self) -> list[Delivery]:
        """
        All that was delivered to it.
        """
        return [delivery for (delivery,) in self.route.of("deliver")]

    @property
    def last(self) -> Delivery:
        """
        What was delivered to it last.
        """
        return self.deliveries[-1]

    def announce(self) -> None:
        """
        Say who it is.
        """
        self.agents.announced(self.announcement, self.route)
        self.kit.settle()

    def pong(self, *held: Delivery) -> None:
        """
        Answer the last ping.
        """
        nonce = self.route.of("ping")[-1][0]
        self.agents.ponged(self.route, nonce, [Held(d.part, d.attempt) for d in held])
        self.kit.settle()

    def register(self) -> None:
        """
        Become an agent.
        """
        self.announce()
        self.pong()
        assert self.route.of("welcome"), self.route.said

    def beat(self, *held: Delivery) -> None:
        """
        Live, and hold these.
        """
        self.agents.beat(self.route, [Held(d.part, d.attempt) for d in held])
        self.kit.settle()

    def reply(
        self,
        kind: ReplyKind,
        delivery: Delivery | None = None,
        *payload: bytes,
        value: Any = "",
        sequence: int = 0,
    ) -> None:
        """
        Say something of an attempt, of the last one if it is not named.
        """
        d = self.last if delivery is None else delivery
        self.agents.replied(self.route, d.part, d.attempt, kind, value, sequence, payload)
        self.kit.settle()

    def result(self, delivery: Delivery | None = None, *payload: bytes, partials: int = 0) -> None:
        """
        Be done.
        """
        self.reply(ReplyKind.RESULT, delivery, *payload, sequence=partials)

    def partial(self, sequence: int, *payload: bytes) -> None:
        """
        Give a partial result of the last attempt.
        """
        self.reply(ReplyKind.PARTIAL, None, *payload, sequence=sequence)

    def cancelled(self, delivery: Delivery | None = None, running: bool = False) -> None:
        """
        Have stopped.
        """
        self.reply(ReplyKind.CANCELLED, delivery, value=running)

    def released(self, delivery: Delivery | None = None) -> None:
        """
        Have the slot back.
        """
        d = self.last if delivery is None else delivery
        self.agents.released(self.route, d.part, d.attempt)
        self.kit.settle()

    def drain(self) -> None:
        """
        Want no more.
        """
        self.agents.draining(self.route)
        self.kit.settle()

    def leave(self) -> None:
        """
        Take leave.
        """
        self.agents.unregistered(self.route)
        self.kit.settle()


def incarnation(number: int) -> str:
    """
    An incarnation that no other number has.
    """
    return f"{number:08x}{0:024x}"


@define(eq=False, repr=False)
class Kit:
    """
    A broker, its clocks and its disk.

    @ivar hold: commits nothing by itself.
    """

    limits: Limits = field(factory=Limits)
    changes: dict[str, Any] = field(factory=dict)
    clocks: Clocks = field(factory=Clocks, init=False)
    reactor: Clock = field(factory=Clock, init=False)
    disk: SimulatedDisk = field(factory=SimulatedDisk, init=False)
    settings: Settings = field(init=False)
    broker: Broker = field(init=False)
    routes: dict[str, Route] = field(factory=dict, init=False)
    hold: bool = field(default=False, init=False)
    made: int = field(default=0, init=False)
    observers: tuple[Any, ...] = ()

    def __attrs_post_init__(self) -> None:
        settings = Settings(data_dir="/nowhere", endpoints={}, limits=self.limits)
        self.settings = evolve(settings, **self.changes)
        self.start()

    def start(self) -> None:
        """
        Begin an epoch.
        """
        self.broker = assemble(
            self.settings,
            self.reactor,
            self.clocks,
            self.disk,
            lambda: {"pid": 1, "endpoints": {}},
            observers=self.observers,
            random=Random(7),
        )
        self.broker._recovery._route = self.route
        opened = self.disk.open(self.broker.journal.committed, self.trouble)
        opened.addCallback(self.broker.begin)
        held, self.hold = self.hold, False
        self.settle()
        self.hold = held

    def trouble(self, error: Any) -> None:
        """
        The disk has trouble, or has it no more.
        """
        self.broker.admission.trouble = error

    def crash(self) -> None:
        """
        End this epoch, lose what is not committed, and begin another.
        """
        self.disk.lose()
        self.routes.clear()
        self.start()

    def route(self, identity: str) -> Route:
        """
        The route of an incarnation in this epoch.
        """
        return self.routes.setdefault(identity, Route(identity))

    def settle(self) -> None:
        """
        Commit all there is, and what comes of it.
        """
        while self.disk.pending and not self.hold:
            self.disk.commit()

    def commit(self) -> None:
        """
        Commit what was written until now, and nothing that comes of it.
        """
        self.disk.commit(self.disk.pending[-1] if self.disk.pending else None)

    # -- Agents --------------------------------------------------------------

    def stranger(self, name: str = "a", *services: str, **more: Any) -> FakeAgent:
        """
        An agent that is not registered yet; each is another incarnation.
        """
        self.made += 1
        identity = more.pop("incarnation", incarnation(self.made))
        announcement = Announcement(name, identity, services or ("s",), **more)
        return FakeAgent(self, announcement, self.route(identity))

    def agent(self, name: str = "a", *services: str, **more: Any) -> FakeAgent:
        """
        An agent that is registered.
        """
        agent = self.stranger(name, *services, **more)
        agent.register()
        return agent

    def returned(self, agent: FakeAgent) -> FakeAgent:
        """
        An agent as it finds the broker after a restart.
        """
        return FakeAgent(self, agent.announcement, self.route(agent.announcement.incarnation))

    # -- Clients -------------------------------------------------------------

    def ask(self, command: str, *payload: bytes, caller: str = "~c", **properties: Any) -> Reply:
        """
        Give a command as a client.
        """
        reply = Reply()
        text = json.dumps({"command": command, **properties}).encode()
        self.broker.controller.execute(command, text, payload, Caller(caller), reply)
        self.settle()
        return reply

    def call(self, *payload: bytes, **properties: Any) -> Reply:
        """
        Call the service C{s}, or another.
        """
        return self.ask("CALL", *payload, **{"service": "s", **properties})

    def submit(self, *payload: bytes, **properties: Any) -> Reply:
        """
        Submit a job to the service C{s}, or another.
        """
        return self.ask("SUBMIT", *payload, **{"service": "s", **properties})

    def verdicts(self, job: str) -> dict[str, int]:
        """
        The verdicts of a job that is done.
        """
        verdicts: dict[str, int] = self.ask("WAIT", job=job).result["verdicts"]
        return verdicts

    def history(self, job: str) -> list[str]:
        """
        The kinds of the events of a job.
        """
        return [event["kind"] for event in self.ask("JOB", job=job).result["events"]]

    # -- Time ----------------------------------------------------------------

    def advance(self, seconds: float, *beating: FakeAgent, step: float = 0.5) -> None:
        """
        Let time pass, with ticks, while these agents say what they hold.
        """
        while seconds > 1e-9:
            passed = min(step, seconds)
            self.clocks.advance(passed)
            self.reactor.advance(passed)
            seconds -= passed
            for agent in beating:
                held = agent.route.agent.held if agent.route.agent else ()
                agent.agents.beat(agent.route, [Held(*key) for key in held])
            self.broker.tick()
            self.settle()

    # -- What is left --------------------------------------------------------

    def count(self, counter: str) -> int:
        """
        A counter.
        """
        return self.broker.counters[counter]

    def left(self) -> dict[str, int]:
        """
        What the broker keeps in memory of jobs; nothing should be left when
        all are done.
        """
        broker = self.broker
        dispatcher, verdicts = broker.dispatcher, broker.verdicts
        found = {
            "timers": len(dispatcher._timers),
            "jobs": len(verdicts.jobs),
            "calls": len(verdicts.calls._open),
            "open calls": verdicts.open_calls,
            "client jobs": len(verdicts.clients._jobs),
            "client waits": len(verdicts.clients._waits),
            "payloads": verdicts.payloads.size + len(verdicts.payloads._jobs),
            "stopping": len(dispatcher._deliveries._stopping),
            "effects": len(broker.journal._effects),
            "changes": len(broker.journal._changes),
            "queued": sum(s.queued + len(s._lines) + len(s._by_name) for s in broker.services),
            "held": sum(len(agent.held) for agent in broker.roster),
            "settling": sum(len(agent.settling) for agent in broker.roster),
        }
        return {what: number for what, number in found.items() if number}
