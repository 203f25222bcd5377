# -*- test-case-name: tests.simulation.test_simulation -*-
"""
A broker, two agents and two clients, and everything that happens to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field

from jobroute.testing.agents import SimulatedAgent
from jobroute.testing.brokers import SimulatedBroker, settings
from jobroute.testing.clients import SimulatedClient
from jobroute.testing.clock import SimulatedClock, SimulatedReactor
from jobroute.testing.disk import SimulatedDisk
from jobroute.testing.faults import FAULTS, Fault
from jobroute.testing.history import History
from jobroute.testing.processes import Place, Process
from jobroute.testing.workload import Workload
from jobroute.zeromq.memory import MemoryNetwork

#: Seconds of trouble, at least and at most.
CHAOS = (4.0, 12.0)

#: Seconds between two faults, and between two questions of a client, on
#: average; which, the seed says.
FAULT = (0.3, 0.7, 1.5)
QUESTION = (0.15, 0.3)

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
    """

    seed: int
    faults: Mapping[Fault, int] = field(factory=lambda: FAULTS)
    random: Random = field(init=False)
    clock: SimulatedClock = field(init=False)
    history: History = field(init=False)
    network: MemoryNetwork = field(init=False)
    broker: SimulatedBroker = field(init=False)
    agents: list[SimulatedAgent] = field(init=False)
    clients: list[SimulatedClient] = field(init=False)
    workload: Workload = field(init=False)
    calm: bool = field(default=False, init=False)
    stalled_until: float = field(default=0.0, init=False)
    _weights: list[int] = field(init=False)
    _fault: float = field(init=False)
    _asking: float = field(init=False)
    _reactor: SimulatedReactor = field(init=False)
    _partitions: dict[str, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        random = self.random = Random(self.seed)
        # Worlds differ: in some there is much of one kind of trouble.
        self._weights = [weight * random.choice((0, 1, 1, 4)) for weight in self.faults.values()]
        self._fault, self._asking = random.choice(FAULT), random.choice(QUESTION)
        self.clock = SimulatedClock(self._child())
        self.history = History(lambda: self.clock.now)
        self._reactor = SimulatedReactor(self.clock)
        delay = random.choice((0.0, 0.002, 0.02, 0.2))
        duplicate = random.choice((0.0, 0.0, 0.0, 0.02))
        self.network = MemoryNetwork(
            SimulatedReactor(self.clock), self._child(), delay=(0.0, delay), duplicate=duplicate
        )
        disk = SimulatedDisk(self._commit_later)
        if random.random() < 0.5:
            disk.answers = self._answer_later
        chosen = settings()
        place = Place(
            self.clock, self.network, self.history, self._child(), chosen.endpoints["frontend"]
        )
        self.broker = SimulatedBroker(place, "broker", disk=disk, settings=chosen)
        self.agents = [
            SimulatedAgent(
                place,
                name,
                slots=random.choice((1, 2, 4)),
                prefetch=random.choice((0, 0, 2)),
                rare=name == "a1",
            )
            for name in ("a1", "a2")
        ]
        self.clients = [SimulatedClient(place, name) for name in ("c1", "c2")]
        self.workload = Workload(self._child(), [agent.name for agent in self.agents])
        self.history.add("world", "seed", seed=self.seed, delay=delay, duplicate=duplicate)

    def _child(self) -> Random:
        return Random(self.random.getrandbits(64))

    # -- Running

    def run(self) -> None:
        """
        Trouble, then calm until nothing is left to do.
        """
        self.raise_broker()
        for process in (*self.agents, *self.clients):
            self.raise_process(process)
        for client in self.clients:
            self._question(client)
        self._trouble()
        self.clock.advance(self.random.uniform(*CHAOS))
        self.settle()
        until = self.clock.now + CALM
        while self.clock.now < until and not self.quiet:
            self.clock.advance(0.5)
        # Acknowledgements, and what nobody waits for.
        self.clock.advance(1.0)

    def settle(self) -> None:
        """
        Mend everything, and let the clients ask for every job.
        """
        self.calm = True
        self.history.add("world", "calm")
        self.stalled_until = 0.0
        for name in list(self._partitions):
            self._partitions[name] = 1
            self.heal(name)
        for process in (self.broker, *self.agents, *self.clients):
            process.reactor.frozen_until = 0.0
            self.raise_process(process)
        for place, job in enumerate(self.workload.jobs):
            asker = self.clients[place % len(self.clients)].asker
            assert asker is not None
            asker.wait(job, None, stream=place % 3 > 0)

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

    # -- The seed's doing

    def _trouble(self) -> None:
        if not self.calm and any(self._weights):
            self.later(self.random.expovariate(1 / self._fault), self._one_fault)

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

        self.later(self.random.expovariate(1 / self._asking), ask)

    # -- Processes

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
        self.later(pause, commit)

    def _answer_later(self, answer: Callable[[], None]) -> None:
        held = max(0.0, self.broker.reactor.frozen_until - self.clock.now)
        self.later(held + self.random.uniform(0.0, 0.02), answer)
