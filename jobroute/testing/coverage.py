# -*- test-case-name: tests.simulation.test_coverage -*-
"""
What the faults of many runs met: which of them struck while a part was in
which state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field
from rich.table import Table

from jobroute.agent.attempts import Stage
from jobroute.broker.parts import Part
from jobroute.model import PartState
from jobroute.testing.agents import SimulatedAgent
from jobroute.testing.brokers import SimulatedBroker
from jobroute.testing.processes import Process

#: The states of a part, from its beginning to its end, with what they mean.
STATES: dict[str, str] = {
    "queued": "it waits for an agent",
    "backing off": "its attempt ended without success, and the next is not due",
    "assigned": "its attempt is made, and not on disk",
    "underway": "its attempt is said to the agent, which has not heard it",
    "held": "the agent has it, and has not begun",
    "running": "the agent works on it",
    "cancelling": "it is to stop",
    "finished": "the agent has its result, of which the broker does not know",
    "heard": "the broker has its result, and not on disk",
    "stored": "its result is on disk, and the agent does not know",
    "awaited": "it has its verdict, and somebody waits for it or for another part of its job",
}

#: In so many runs each cell is met at least once.  There is none that cannot be.
RUNS = 500

_Key = tuple[int, int]


@define(eq=False)
class Coverage:
    """
    Counts, for each fault and state, the faults that struck then.
    """

    counts: dict[tuple[str, str], int] = field(factory=dict)

    def struck(self, fault: str, states: Iterable[str]) -> None:
        """
        A fault happened.
        """
        for state in states:
            self.counts[fault, state] = self.counts.get((fault, state), 0) + 1

    def missing(self, faults: Iterable[str], runs: int) -> list[tuple[str, str, int]]:
        """
        The cells that were met too seldom in so many runs, with how often
        they should have been.
        """
        least = runs // RUNS
        return [
            (fault, state, least)
            for fault in faults
            for state in STATES
            if self.counts.get((fault, state), 0) < least
        ]

    def table(self, faults: Iterable[str]) -> Table:
        """
        For people.
        """
        table = Table("fault", title="Faults by the states of parts that they met")
        for state in STATES:
            table.add_column(state, justify="right", overflow="fold")
        for fault in faults:
            cells = (f"{self.counts.get((fault, state), 0):,}" for state in STATES)
            table.add_row(fault.replace("_", " "), *cells)
        return table

    def nested(self, faults: Iterable[str]) -> dict[str, dict[str, int]]:
        """
        For programs.
        """
        return {f: {s: self.counts.get((f, s), 0) for s in STATES} for f in faults}

    def add(self, other: Mapping[tuple[str, str], int]) -> None:
        """
        Count those of another run as well.
        """
        for cell, count in other.items():
            self.counts[cell] = self.counts.get(cell, 0) + count


def states(
    broker: SimulatedBroker, agents: Sequence[SimulatedAgent], victim: Process | None
) -> list[str]:
    """
    In which states parts are.

    @param victim: if it is an agent, what other agents have does not count.
    """
    found: dict[str, None] = {}
    known = _known(broker)
    of_agents: dict[_Key, None] = {}
    for agent in agents:
        counts = victim is None or not isinstance(victim, SimulatedAgent) or agent is victim
        for held in agent.attempts:
            of_agents[held.key] = None
            if counts:
                found[_at_agent(held.stage, held.key, broker, known)] = None
    for part in known.values():
        attempt = part.attempt
        mine = not isinstance(victim, SimulatedAgent) or part.agent == victim.name
        if part.verdict is not None:
            if part.job.waits:
                found["awaited"] = None
        elif attempt is None:
            found["queued" if part.due is None else "backing off"] = None
        elif mine:
            if part.cancelling or attempt.stopping:
                found["cancelling"] = None
            if attempt.key not in of_agents:
                found["underway" if attempt.sent < float("inf") else "assigned"] = None
    if not known and not broker.serving:
        restored = broker.disk.open_parts()
        if any(record.state is PartState.QUEUED for record in restored):
            found["queued"] = None
    return list(found)


def _known(broker: SimulatedBroker) -> dict[int, Part]:
    """
    The parts of which the broker knows, by number.
    """
    service = broker.service
    if service is None or not broker.serving:
        return {}
    jobs = service.broker.verdicts.jobs.values()
    return {part.number: part for job in jobs for part in job.parts}


def _at_agent(stage: Stage, key: _Key, broker: SimulatedBroker, known: Mapping[int, Part]) -> str:
    """
    The state of what an agent has.
    """
    if stage is Stage.WAITING:
        return "held"
    if stage is Stage.RUNNING:
        return "running"
    service = broker.service
    if service is None or not broker.serving:
        return "finished"
    if any(key in agent.settling for agent in service.broker.roster):
        return "heard"
    part = known.get(key[0])
    open_here = part is not None and part.verdict is None and part.made == key[1]
    return "finished" if open_here else "stored"
