# -*- test-case-name: tests.simulation.test_simulation -*-
"""
A broker, agents and clients, and everything that happens to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field

from jobroute.testing.agents import SimulatedAgent
from jobroute.testing.brokers import DEADLINE, SimulatedBroker, settings
from jobroute.testing.clients import SimulatedClient
from jobroute.testing.clock import SimulatedClock, SimulatedReactor
from jobroute.testing.coverage import Coverage, states
from jobroute.testing.disk import SimulatedDisk
from jobroute.testing.faults import FAULTS, Fault
from jobroute.testing.history import History
from jobroute.testing.mishaps import HOURS
from jobroute.testing.processes import Place, Process
from jobroute.testing.scenes import Scene
from jobroute.testing.strangers import Stranger
from jobroute.testing.workload import Workload
from jobroute.zeromq.memory import MemoryNetwork

#: Seconds of trouble, at least and at most.
CHAOS = (4.0, 12.0)

#: Seconds after the trouble until everything has to be over.
CALM = 120.0


@define(eq=False)
class World:
    """
    One run.

    @ivar seed: everything that happens follows from it.
    @ivar faults: what may go wrong, with weights.
    @ivar calm: whether the trouble is over.
    @ivar stalled_until: until when the disk commits nothing.
    @ivar slow_until: until when each commit takes long.
    @ivar twins: agents under names that others have.
    @ivar coverage: which faults struck when parts were in which states.
    """

    seed: int
    faults: Mapping[Fault, int] = field(factory=lambda: FAULTS)
    random: Random = field(init=False)
    scene: Scene = field(init=False)
    clock: SimulatedClock = field(init=False)
    history: History = field(init=False)
    network: MemoryNetwork = field(init=False)
    broker: SimulatedBroker = field(init=False)
    agents: list[SimulatedAgent] = field(init=False)
    clients: list[SimulatedClient] = field(init=False)
    twins: list[SimulatedAgent] = field(factory=list, init=False)
    strangers: list[Stranger] = field(init=False)
    workload: Workload = field(init=False)
    coverage: Coverage = field(factory=Coverage, init=False)
    calm: bool = field(default=False, init=False)
    stalled_until: float = field(default=0.0, init=False)
    slow_until: float = field(default=0.0, init=False)
    _weights: list[int] = field(init=False)
    _place: Place = field(init=False)
    _reactor: SimulatedReactor = field(init=False)
    _partitions: dict[str, int] = field(factory=dict, init=False)
    _impatient: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        random = self.random = Random(self.seed)
        # Worlds differ: in some there is much of one kind of trouble.
        self._weights = [weight * random.choice((0, 1, 1, 4)) for weight in self.faults.values()]
        scene = self.scene = Scene.of(random)
        self.clock = SimulatedClock(self._child())
        self.history = History(lambda: self.clock.now)
        self._reactor = SimulatedReactor(self.clock)
        self.network = MemoryNetwork(
            SimulatedReactor(self.clock),
            self._child(),
            delay=(0.0, scene.delay),
            duplicate=scene.duplicate,
        )
        disk = SimulatedDisk(self._commit_later)
        if scene.answers:
            disk.answers = self._answer_later
        chosen = settings(scene.limits)
        place = self._place = Place(
            self.clock, self.network, self.history, self._child(), chosen.endpoints["frontend"]
        )
        self.broker = SimulatedBroker(place, "broker", disk=disk, settings=chosen)
        self.agents = [self._agent(f"a{number + 1}") for number in range(scene.agents)]
        self.clients = [SimulatedClient(place, f"c{number + 1}") for number in range(scene.clients)]
        self.strangers = [
            Stranger(place, f"s{number + 1}", endpoints=chosen.endpoints)
            for number in range(scene.strangers)
        ]
        self.workload = Workload(self._child(), [agent.name for agent in self.agents])
        self.history.add("world", "seed", seed=self.seed, scene=scene)
        if scene.hours:
            for process in (self.broker, *self.agents):
                self.step(process, random.uniform(-HOURS, HOURS))

    def _child(self) -> Random:
        return Random(self.random.getrandbits(64))

    def _agent(self, name: str, mark: str = "") -> SimulatedAgent:
        return SimulatedAgent(
            self._place,
            name,
            mark=mark,
            slots=self.random.choice((1, 2, 4)),
            prefetch=self.random.choice((0, 0, 2)),
            rare=name == "a1",
        )

    @property
    def hours(self) -> bool:
        """
        Whether clocks are apart by hours.
        """
        return self.scene.hours

    # -- Running

    def run(self) -> None:
        """
        Trouble, then calm until nothing is left to do.
        """
        self.begin()
        self._trouble()
        self.clock.advance(self.random.uniform(*CHAOS))
        self.settle()
        began = self.clock.now
        while self.clock.now < began + CALM and not self.quiet:
            self.clock.advance(0.5)
            if self.hours and self.clock.now > began + DEADLINE + 5.0:
                # By a clock that was set back a deadline can be far away.
                self._hurry()
        # Acknowledgements, and what nobody waits for.
        self.clock.advance(max(1.0, began + 4.5 - self.clock.now) if self.strangers else 1.0)
        self.history.add("world", "over")

    def begin(self) -> None:
        """
        Let everybody live, and the clients ask.
        """
        self.raise_broker()
        for process in (*self.agents, *self.clients):
            self.raise_process(process)
        for client in self.clients:
            self._question(client)
        for stranger in self.strangers:
            self.raise_process(stranger)
            self._babble(stranger)

    def settle(self) -> None:
        """
        Mend everything, and let the clients ask for every job.
        """
        self.calm = True
        self.history.add("world", "calm")
        self.stalled_until = self.slow_until = 0.0
        self.broker.spare()
        for twin in self.twins:
            if twin.up:
                twin.crash()
        for name in list(self._partitions):
            self._partitions[name] = 1
            self.heal(name)
        for process in (self.broker, *self.agents, *self.clients):
            process.reactor.thaw()
            self.raise_process(process)
        for stranger in self.strangers:
            # With a connection that is well, it has to be answered now.
            stranger.crash()
            stranger.identity = b""
            stranger.start()
            for _ in range(8):
                self.later(self.random.uniform(0.5, 3.0), stranger.babble)
        for place, job in enumerate(self.workload.jobs):
            asker = self.clients[place % len(self.clients)].asker
            assert asker is not None
            asker.wait(job, None, stream=place % 3 > 0)

    def _hurry(self) -> None:
        """
        Let a client cancel all that is left.
        """
        asker = self.clients[0].asker
        if not self._impatient and asker is not None:
            self._impatient = True
            for job in self.workload.jobs:
                asker.cancel(job, None)

    @property
    def quiet(self) -> bool:
        """
        Whether nothing is left to do.
        """
        service = self.broker.service
        return (
            self.broker.serving
            and service is not None
            and not service.broker.verdicts.jobs
            and service.broker.idle
            and all(agent.up for agent in self.agents)
            and not any(client.waiting for client in self.clients)
        )

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """
        Let something happen to the world.
        """
        self._reactor.callLater(seconds, function)

    @property
    def dying(self) -> bool:
        """
        Whether somebody died just now; what it does since then nobody sees.
        """
        return self._place.died == self.clock.steps

    def strike(self, fault: Fault, victim: Process | None) -> None:
        """
        A fault happens.

        @param victim: to whom, if not to all.
        """
        name = getattr(fault, "__name__", "?")
        self.coverage.struck(name, states(self.broker, (*self.agents, *self.twins), victim))

    # -- The seed's doing

    def _trouble(self) -> None:
        if not self.calm and any(self._weights):
            self.later(self.random.expovariate(1 / self.scene.fault), self._one_fault)

    def _one_fault(self) -> None:
        if self.calm:
            return
        [fault] = self.random.choices(list(self.faults), self._weights)
        # Somewhere in the middle of whatever goes on.
        self.clock.after_steps(self.random.randrange(30), lambda: self.calm or fault(self))
        self._trouble()

    def _question(self, client: SimulatedClient) -> None:
        def ask() -> None:
            if self.calm:
                return
            if client.asker is not None:
                self.workload.ask(client.asker)
            self._question(client)

        self.later(self.random.expovariate(1 / self.scene.question), ask)

    def _babble(self, stranger: Stranger) -> None:
        known: dict[bytes, None] = {}
        stranger.overheard = self.broker.overheard

        def babble() -> None:
            if self.calm:
                return
            for client in self.clients:
                known.update(dict.fromkeys(client.identities))
            if self.random.random() < 0.1:
                # Under the name of a client, who may live, or have died.
                stranger.crash()
                stranger.identity = self.random.choice((b"", self.random.choice([b"", *known])))
                stranger.start()
            stranger.babble()
            again()

        def again() -> None:
            self.later(self.random.expovariate(1 / self.scene.question), babble)

        again()

    # -- Processes

    def some_agent(self) -> SimulatedAgent:
        """
        An agent, more often one that has something to lose.
        """
        if self.random.random() < 0.6:
            busy = [agent for agent in self.agents if agent.attempts]
            if busy:
                return self.random.choice(busy)
        return self.random.choice(self.agents)

    def twin(self, agent: SimulatedAgent) -> SimulatedAgent:
        """
        Another agent under the same name, on another host.
        """
        twin = self._agent(agent.name, f"t{len(self.twins) + 1}-")
        self.twins.append(twin)
        return twin

    def step(self, process: Process, seconds: float) -> None:
        """
        Set the wall clock of a process.
        """
        self.history.add("world", "step", host=process.name, seconds=seconds)
        process.step(seconds)

    def raise_broker(self) -> None:
        """
        Start the broker if it is down; one that is stopping, later.
        """
        self.raise_process(self.broker)

    def raise_process(self, process: Process) -> None:
        """
        Start a process if it is down; one that is stopping, later.
        """
        if not process.up:
            process.start()
        elif process.stopping:
            self.later(0.5, lambda: self.raise_process(process))

    def raise_later(self, process: Process, seconds: float) -> None:
        """
        Start a process in a while, if it is down then.
        """
        self.later(seconds, lambda: self.raise_process(process))

    # -- The network

    def partition(self, name: str) -> None:
        """
        Cut a host off, perhaps once more.
        """
        self.history.add("world", "partition", host=name)
        self._partitions[name] = self._partitions.get(name, 0) + 1
        self.network.partition(name)

    def heal(self, name: str) -> None:
        """
        Take one partition back.
        """
        count = self._partitions.get(name, 0) - 1
        if count > 0:
            self._partitions[name] = count
        elif self._partitions.pop(name, None) is not None:
            self.history.add("world", "heal", host=name)
            self.network.heal(name)

    # -- The disk

    def _commit_later(self, commit_all: Callable[[], None]) -> None:
        random, disk = self.random, self.broker.disk

        def commit() -> None:
            held = max(self.stalled_until, self.broker.reactor.frozen_until) - self.clock.now
            if held > 0:
                self.later(held, commit)
                return
            pending = disk.pending
            if len(pending) > 1 and random.random() < 0.3:
                disk.commit(random.choice(pending))
                self.later(random.uniform(0.0, 0.02), commit)
            else:
                commit_all()

        pause = 0.0 if random.random() < 0.2 else random.expovariate(1 / 0.01)
        if self.clock.now < self.slow_until:
            pause += random.uniform(0.1, 0.6)
        self.later(pause, commit)

    def _answer_later(self, answer: Callable[[], None]) -> None:
        held = max(0.0, self.broker.reactor.frozen_until - self.clock.now)
        self.later(held + self.random.uniform(0.0, 0.02), answer)
