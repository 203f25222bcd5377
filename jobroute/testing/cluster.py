# -*- test-case-name: tests.testing.test_cluster -*-
"""
A whole jobroute in one test: the real broker, real agents and real clients in
simulated time, on a network and a disk in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jobroute.client import Outcome, TwistedClient
from jobroute.config import load
from jobroute.testing.faces import SubmittedJob, VirtualClient
from jobroute.testing.machines import PATIENCE, Machines, NeverDone, some
from jobroute.testing.processes import Process
from jobroute.testing.simulation import Bugs

T = TypeVar("T")

Services = Mapping[str, Callable[..., Any] | str]


@define(eq=False, repr=False)
class Cluster(Machines):
    """
    A broker, agents and a client, on hosts of their own named C{broker}, as
    the agents, and C{client}.  Made by L{cluster}; a context manager.
    """

    _faces: dict[str, VirtualClient] = field(factory=dict, init=False)
    _jobs: dict[str, None] = field(factory=dict, init=False)
    _bugs: Bugs = field(factory=Bugs, init=False)
    _listening: Any = field(default=None, init=False)

    # -- Life

    def __enter__(self) -> Self:
        """
        Start everything, and return when all agents are registered.
        """
        self._listening = self._bugs.listening()
        self._listening.__enter__()
        try:
            self.broker.start()
            for agent in self.agents.values():
                agent.start()
            self.run_until(lambda: self.broker.serving, 60.0, "the broker to start")
            self.until_registered()
        except BaseException:
            self._listening.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        Let go of everything.

        @raise AssertionError: if jobroute itself logged a bug.
        """
        for process in self.processes:
            if process.up:
                process.end()
        self._listening.__exit__(None, None, None)
        if kind is None:
            assert not self._bugs.found, "\n".join(self._bugs.found)

    # -- Waiting

    def until_registered(self, within: float = 600.0) -> None:
        """
        Let time pass until all agents that live, and can reach the broker,
        are registered.
        """

        def missing() -> list[str]:
            service = self.broker.service
            roster = {} if service is None else {a.name: a for a in service.broker.roster}
            names = [name for name, agent in self.agents.items() if agent.up]
            waited = [name for name in names if name not in self._cut]
            ready = {name for name, known in roster.items() if known.ready}
            return [n for n in waited if n not in ready or not self.agents[n].registered]

        try:
            self.run_until(lambda: not missing(), within, "agents to register")
        except NeverDone as e:
            raise NeverDone(f"{e} Not registered: {some(missing())}.") from None

    def result(self, deferred: Deferred[T], within: float | None = None, job: str = "") -> T:
        """
        Let time pass until a Deferred fires.

        @param within: for how many seconds at most.
        @param job: the id of the job that it is about, for the error.
        @return: its value.
        @raise NeverDone: if it does not fire.
        """
        found: list[T | Failure] = []
        deferred.addBoth(found.append)
        patience = PATIENCE if within is None else within
        try:
            self.run_until(lambda: found, patience, f"job {job}" if job else "an answer")
        except NeverDone as e:
            deferred.cancel()
            raise NeverDone(f"{e} {self._why(job)}".rstrip()) from None
        [value] = found
        if isinstance(value, Failure):
            value.raiseException()
        return value

    def _why(self, job: str) -> str:
        """
        What the broker says of a job that is not done.
        """
        if not job or not self.broker.serving:
            return ""
        said: list[Any] = []
        asked = self.client.deferred.why(job)
        asked.addCallbacks(said.extend, lambda failure: said.append(str(failure.value)))
        self.advance(60.0)
        texts = [
            f"Part {part['index']} is {part['state']}: {part['why']}"
            if isinstance(part, dict)
            else part
            for part in said[:5]
        ]
        return " ".join(texts)

    # -- Clients

    @property
    def client(self) -> VirtualClient:
        """
        The client named C{client}.
        """
        return self.new_client("client")

    def new_client(self, name: str, **arguments: Any) -> VirtualClient:
        """
        The client of a name, on a host of that name; a new one if there is
        none.

        @param arguments: of L{TwistedClient}.
        """
        if name in self._faces:
            return self._faces[name]
        process = Process(self._place, name)
        process.begin()
        deferred = TwistedClient(
            self._place.url,
            reactor=process.reactor,
            network=process.host,
            name=name,
            clock=process.clock,
            random=process.random,
            **arguments,
        )
        client = self._faces[name] = VirtualClient(deferred, self.result)
        self.clients[name] = process
        return client

    def submit(self, service: str, *payload: bytes, **arguments: Any) -> SubmittedJob:
        """
        Hand in a job, as L{jobroute.client.Client.submit}; returns when it
        is on disk.
        """
        job = self.client.submit(service, *payload, **arguments).job
        self._jobs[job] = None
        return SubmittedJob(job, self.client, self.result)

    def call(self, service: str, *payload: bytes, **arguments: Any) -> Outcome:
        """
        Have a job done, as L{jobroute.client.Client.call}.
        """
        return self.client.call(service, *payload, **arguments)

    # -- At the end

    def check(self, within: float = 2 * PATIENCE) -> None:
        """
        Make sure that every job handed in with L{submit} is in the store,
        comes to exactly one verdict for each part, and that nobody logged a
        bug.

        @raise AssertionError: if not.
        """
        for id in self._jobs:
            self.result(self.client.deferred.wait(id), within, id)
            said = self.client.job(id)
            for part in said["parts"]:
                ends = [
                    event
                    for event in said["events"]
                    if event["kind"] == "part.ended" and event["index"] == part["index"]
                ]
                assert len(ends) == 1, f"part {part['index']} of job {id} ended {len(ends)} times"
                assert ends[0]["verdict"] == part["verdict"], f"the verdicts of {id} differ"
        assert not self._bugs.found, "\n".join(self._bugs.found)


def cluster(
    agents: int | Iterable[str] | Mapping[str, Mapping[str, Any]] = 1,
    services: Services | None = None,
    *,
    seed: int = 0,
    slots: int = 1,
    delay: tuple[float, float] = (0.0, 0.002),
    **settings: Any,
) -> Cluster:
    """
    A cluster: C{with cluster(agents=50, services={"resize": resize}) as c:}.

    @param agents: how many, named C{a1}, C{a2} and so on; or their names; or
        names with C{services}, C{slots}, C{prefetch} and C{labels} of each
        where those are not as for all.
    @param services: names and functions, as an agent takes them.  Functions
        that would run in a thread take no time; others may wait for
        L{Cluster.sleep}.
    @param seed: of everything that chance decides: the same one, the same
        course.
    @param slots: how many parts an agent works on at a time.
    @param delay: the shortest and the longest time that a message takes.
    @param settings: of the broker, as in its configuration file, C{limits}
        too.
    @raise ConfigurationError: if a setting or a function is wrong.
    """
    if isinstance(agents, int):
        agents = [f"a{number}" for number in range(1, agents + 1)]
    each = agents if isinstance(agents, Mapping) else {name: {} for name in agents}
    common = {"services": services or {}, "slots": slots}
    members = {name: {**common, **how} for name, how in each.items()}
    chosen = load({"data_dir": "/nonexistent", "tcp": "127.0.0.1:7780"}, settings)
    return Cluster(seed, chosen, members, delay)
