# -*- test-case-name: tests.simulation.test_simulation -*-
"""
What differs from world to world.
"""

from __future__ import annotations

from random import Random

from attrs import field, frozen

#: Seconds between two faults, and between two questions of a client, on
#: average; which, the seed says.
FAULT = (0.3, 0.7, 1.5)
QUESTION = (0.15, 0.3)

#: How many agents and clients there are, with weights.
AGENTS = {1: 10, 2: 40, 3: 25, 4: 12, 6: 6, 8: 5, 30: 1}
CLIENTS = {1: 15, 2: 50, 3: 20, 4: 10, 6: 5}

#: One limit after the other, so small that it is reached.
SMALL = {
    "queued_parts": 3,
    "client_jobs": 4,
    "waits": 3,
    "clients": 1,
    "batch": 3,
    "journal": 10,
    "reads": 1,
    "partials": 2,
    "agents": 2,
    "pending_registrations": 1,
}


@frozen
class Scene:
    """
    What a seed decides before anything happens.

    @ivar delay: the longest time that a message takes.
    @ivar duplicate: how probable it is that a message comes twice.
    @ivar fault: seconds between two faults, on average.
    @ivar question: seconds between two questions of a client.
    @ivar answers: whether what is read from the disk comes late.
    @ivar hours: whether wall clocks are apart by hours, and are stepped so.
    @ivar strangers: how many there are who do not know how to behave.
    @ivar limits: those of the broker that are not as always.
    """

    agents: int
    clients: int
    delay: float
    duplicate: float
    fault: float
    question: float
    answers: bool
    hours: bool
    strangers: int = 0
    limits: dict[str, int] = field(factory=dict)

    @classmethod
    def of(cls, random: Random) -> Scene:
        """
        One scene.
        """
        [agents] = random.choices(list(AGENTS), list(AGENTS.values()))
        [clients] = random.choices(list(CLIENTS), list(CLIENTS.values()))
        return cls(
            agents,
            clients,
            random.choice((0.0, 0.002, 0.02, 0.2)),
            random.choice((0.0, 0.0, 0.0, 0.02)),
            random.choice(FAULT),
            random.choice(QUESTION) * max(1.0, clients / 2),
            random.random() < 0.5,
            random.random() < 0.12,
            random.choice((0, 0, 0, 1)),
            _limits(random),
        )


def _limits(random: Random) -> dict[str, int]:
    """
    Mostly none, sometimes one or two.
    """
    if random.random() < 0.8:
        return {}
    names = random.sample(list(SMALL), random.choice((1, 1, 2)))
    return {name: SMALL[name] for name in names}
