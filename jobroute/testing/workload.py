# -*- test-case-name: tests.simulation.test_simulation -*-
"""
What the clients of a simulation ask for, as the seed says.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from attrs import define, evolve, field

from jobroute.testing.errands import PLAIN, RARE, WORK, Errand
from jobroute.testing.questions import Asker, JobPlan

_COMMANDS = {
    "submit": 32,
    "several": 3,
    "again": 6,
    "other": 2,
    "call": 18,
    "wait": 16,
    "cancel": 8,
    "result": 4,
    "input": 2,
    "look": 4,
}


@define(eq=False)
class Workload:
    """
    Makes up jobs and questions about them.

    @ivar agents: whose names may be in a target.
    @ivar prefix: what the ids of its jobs begin with.
    @ivar jobs: every job that was handed in under an id, in order.
    """

    _random: Random
    agents: Sequence[str]
    prefix: str = "j"
    jobs: dict[str, JobPlan] = field(factory=dict)
    _made: int = field(default=0, init=False)

    def ask(self, client: Asker) -> None:
        """
        Let a client ask for something.
        """
        random = self._random
        [command] = random.choices(list(_COMMANDS), list(_COMMANDS.values()))
        if command == "call":
            client.call(self.plan(None), stream=random.random() < 0.5)
        elif command == "several":
            client.submit_many([self._new() for _ in range(random.randrange(2, 6))])
        elif command == "submit" or not self.jobs:
            plan = self._new()
            client.submit(plan)
            if random.random() < 0.5 and plan.id is not None:
                client.wait(plan.id, None, stream=random.random() < 0.6)
        else:
            self._about(command, client, self._recent())

    def _new(self) -> JobPlan:
        self._made += 1
        id = f"{self.prefix}{self._made}"
        plan = self.jobs[id] = self.plan(id)
        return plan

    def _about(self, command: str, client: Asker, job: str) -> None:
        random = self._random
        match command:
            case "again":
                client.submit(self.jobs[job])
            case "other":
                client.submit(evolve(self.jobs[job], payload=(b"another",)))
            case "wait":
                timeout = None if random.random() < 0.7 else random.uniform(0.1, 3.0)
                client.wait(job, timeout, stream=random.random() < 0.6)
            case "cancel":
                client.cancel(job, None if random.random() < 0.8 else 0)
            case "result":
                client.result(job, 0)
            case "input":
                client.input(job, 0)
            case _:
                client.look(random.choice(("JOB", "WHY", "JOBS", "STATS")), job)

    def _recent(self) -> str:
        """
        A job, more often a young one.
        """
        ids = list(self.jobs)
        back = min(int(self._random.expovariate(0.25)), len(ids) - 1)
        return ids[-1 - back]

    def plan(self, id: str | None) -> JobPlan:
        """
        Make up a job.
        """
        random = self._random
        [service] = random.choices((WORK, PLAIN, RARE, "nobody"), (70, 15, 13, 2))
        return JobPlan(
            service,
            self._errand(service),
            tuple(random.randbytes(random.randrange(12)) for _ in range(random.randrange(3))),
            self._target(),
            id,
            random.choice((0, 0, 0, 5, -5)),
            random.choice((1, 2, 3)),
            self._limit(0.15, 0.2, 4.0),
            self._limit(0.15, 0.1, 2.0),
            self._limit(0.2, 0.5, 12.0),
            self._retries(),
            random.choice((None, None, 1, 2)),
        )

    def _retries(self) -> dict[str, Any] | None:
        random = self._random
        if random.random() < 0.5:
            return None
        worth = random.choice((["lost", "failed"], ["failed", "refused"], ["timed_out", "failed"]))
        return {
            "on": worth,
            "delay": random.choice((0.0, 0.5, 2.0)),
            "factor": random.choice((1.0, 2.0)),
            "max_delay": 4.0,
            "jitter": random.choice((0.0, 0.5)),
        }

    def _errand(self, service: str) -> Errand:
        random = self._random
        [then] = random.choices(("result", "failure", "refused"), (75, 18, 7))
        lasts = random.choice((0.0, random.uniform(0.0, 0.3), random.uniform(0.0, 3.0)))
        partials = random.choice((0, 0, 0, 1, 3, 6)) if service != PLAIN else 0
        stubborn = random.uniform(0.1, 2.0) if random.random() < 0.1 else 0.0
        return Errand(lasts, partials, then, stubborn)

    def _target(self) -> Any:
        names = list(self.agents)
        return self._random.choice(
            (
                "any",
                "any",
                "any",
                "any",
                "all",
                names,
                names[:1],
                names[-1:],
                {"agents": names, "count": 1},
                {"count": len(names)},
            )
        )

    def _limit(self, probability: float, least: float, most: float) -> float | None:
        random = self._random
        return random.uniform(least, most) if random.random() < probability else None
