# -*- test-case-name: tests.torture.test_acts -*-
"""
What is done to the processes of a torture, and how often.

An act is a function that is given the torture and hits somebody; to add one,
write it and give it a number in L{ACTS}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from attrs import define, field

from jobroute.testing.torture.actors import Actor

#: Seconds for which somebody is stopped: for less than a lease, and for more.
SHORT = (0.2, 1.5)
LONG = (2.5, 6.0)

#: Seconds between two acts.
PAUSE = (1.0, 3.0)


class Victims(Protocol):
    """
    Whom an act may hit.
    """

    random: Random
    broker: Actor
    agents: list[Actor]
    clients: list[Actor]

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """
        Have something done, unless the trouble is over by then.
        """

    def revive(self, actor: Actor) -> None:
        """
        Start a process if it is dead, and continue it if it is stopped.
        """


Act = Callable[[Victims], bool]


def _one(victims: Victims, actors: list[Actor]) -> Actor | None:
    """
    Somebody who is there.
    """
    there = [actor for actor in actors if actor.ready and not actor.stopping]
    return victims.random.choice(there) if there else None


def _kill(victims: Victims, actor: Actor | None, pauses: tuple[float, ...]) -> bool:
    if actor is None or not actor.up:
        return False
    actor.kill()
    victims.later(victims.random.choice(pauses), lambda: victims.revive(actor))
    return True


def _freeze(victims: Victims, actor: Actor | None, span: tuple[float, float]) -> bool:
    if actor is None or not actor.ready or actor.frozen or actor.stopping:
        return False
    actor.freeze()
    life = actor.life

    def thaw() -> None:
        if actor.life == life:
            actor.thaw()

    victims.later(victims.random.uniform(*span), thaw)
    return True


def kill_broker(victims: Victims) -> bool:
    """
    The broker is killed, at whatever it does; at times before it is ready.
    """
    return _kill(victims, victims.broker, (0.0, 0.0, 0.3, victims.random.uniform(0.0, 3.0)))


def kill_agent(victims: Victims) -> bool:
    """
    An agent is killed.
    """
    pauses = (0.0, 0.3, victims.random.uniform(0.0, 5.0))
    return _kill(victims, _one(victims, victims.agents), pauses)


def kill_client(victims: Victims) -> bool:
    """
    A client is killed.
    """
    pauses = (0.0, 0.3, victims.random.uniform(0.0, 3.0))
    return _kill(victims, _one(victims, victims.clients), pauses)


def kill_both(victims: Victims) -> bool:
    """
    An agent and the broker are killed together.
    """
    return kill_agent(victims) and kill_broker(victims)


def freeze_broker(victims: Victims) -> bool:
    """
    The broker is stopped for less than a lease.
    """
    return _freeze(victims, victims.broker, SHORT)


def freeze_broker_long(victims: Victims) -> bool:
    """
    The broker is stopped for longer than a lease.
    """
    return _freeze(victims, victims.broker, LONG)


def freeze_agent(victims: Victims) -> bool:
    """
    An agent is stopped for less than a lease.
    """
    return _freeze(victims, _one(victims, victims.agents), SHORT)


def freeze_agent_long(victims: Victims) -> bool:
    """
    An agent is stopped for longer than a lease.
    """
    return _freeze(victims, _one(victims, victims.agents), LONG)


def freeze_client(victims: Victims) -> bool:
    """
    A client is stopped.
    """
    return _freeze(victims, _one(victims, victims.clients), LONG)


def stop_broker(victims: Victims) -> bool:
    """
    The broker is asked to end.
    """
    broker = victims.broker
    if not broker.ready or broker.frozen or broker.stopping:
        return False
    broker.stop()
    return True


def stop_agent(victims: Victims) -> bool:
    """
    An agent is asked to end.
    """
    agent = _one(victims, victims.agents)
    if agent is None or agent.frozen:
        return False
    agent.stop()
    return True


#: Each act, and how often it is in a deck.
ACTS: dict[Act, int] = {
    kill_broker: 4,
    kill_agent: 4,
    kill_client: 4,
    kill_both: 1,
    freeze_broker: 1,
    freeze_broker_long: 1,
    freeze_agent: 1,
    freeze_agent_long: 1,
    freeze_client: 1,
    stop_broker: 1,
    stop_agent: 1,
}


@define(eq=False)
class Deck:
    """
    Which act is next: all in random order, and then again, so that a short
    torture has some of each.
    """

    _random: Random
    _acts: Mapping[Act, int] = field(factory=lambda: ACTS)
    _left: list[Act] = field(factory=list, init=False)

    def draw(self) -> Act:
        """
        The next act.
        """
        if not self._left:
            self._left = [act for act, number in self._acts.items() for _ in range(number)]
            self._random.shuffle(self._left)
        return self._left.pop()
