# -*- test-case-name: tests.simulation.test_simulation -*-
"""
What can go wrong, and how often.

A fault is a function that is given the world and changes it; to add one,
write it and give it a weight in L{FAULTS}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jobroute.errors import StorageError
from jobroute.testing.processes import Process

if TYPE_CHECKING:
    from jobroute.testing.world import World

Fault = Callable[["World"], None]

#: A wall clock is stepped by up to so many seconds.
STEP = 1.5


def crash_broker(world: World) -> None:
    """
    The broker dies; of what was on its way to the disk, some may arrive.
    """
    broker, random = world.broker, world.random
    if not broker.up:
        return
    pending = broker.disk.pending
    if pending and random.random() < 0.5:
        broker.disk.commit(random.choice(pending), report=False)
    broker.crash()
    world.later(random.choice((0.05, 0.3, random.uniform(0.0, 3.0))), world.raise_broker)


def stop_broker(world: World) -> None:
    """
    The broker is stopped in order.
    """
    if world.broker.serving:
        world.broker.stop()
        world.later(world.random.uniform(1.5, 3.0), world.raise_broker)


def crash_agent(world: World) -> None:
    """
    An agent dies.
    """
    _crash(world, world.random.choice(world.agents))


def crash_client(world: World) -> None:
    """
    A client dies.
    """
    _crash(world, world.random.choice(world.clients))


def _crash(world: World, process: Process) -> None:
    if process.up:
        process.crash()
        pause = world.random.choice((0.0, 0.3, world.random.uniform(0.0, 5.0)))
        world.later(pause, lambda: world.raise_process(process))


def stop_agent(world: World) -> None:
    """
    An agent is stopped in order.
    """
    agent = world.random.choice(world.agents)
    if agent.up:
        agent.stop()
        world.later(world.random.uniform(0.5, 6.0), lambda: world.raise_process(agent))


def partition(world: World) -> None:
    """
    A host is cut off for a while.
    """
    process = world.random.choice((world.broker, *world.agents, *world.agents, *world.clients))
    world.partition(process.name)
    pause = world.random.choice((0.2, world.random.uniform(0.0, 5.0)))
    world.later(pause, lambda: world.heal(process.name))


def freeze(world: World) -> None:
    """
    A process is stopped for a while, and does not know it.
    """
    process = world.random.choice((world.broker, *world.agents, *world.agents))
    if not process.up:
        return
    seconds = world.random.uniform(0.2, 4.0)
    world.history.add(process.who, "freeze", seconds=seconds)
    process.reactor.freeze(seconds)
    # Its sockets are as silent as it is.
    world.partition(process.name)
    world.later(seconds, lambda: world.heal(process.name))


def half_open(world: World) -> None:
    """
    The connections of a host die, and nobody hears of it.
    """
    process = world.random.choice((*world.agents, *world.clients))
    world.history.add("world", "half-open", host=process.name)
    world.network.half_open(process.name)


def stall_disk(world: World) -> None:
    """
    The disk commits nothing for a while.
    """
    pause = world.random.uniform(0.1, 2.5)
    world.history.add("world", "stall", seconds=round(pause, 3))
    world.stalled_until = world.clock.now + pause
    if world.random.random() < 0.3 and world.broker.serving:
        world.broker.disk.trouble(StorageError("The disk is full."))
        world.later(pause, lambda: world.broker.disk.trouble(None))


def step_wall(world: World) -> None:
    """
    Somebody sets the wall clock.
    """
    seconds = world.random.uniform(-STEP, STEP)
    world.history.add("world", "step", seconds=seconds)
    world.clock.step(seconds)


#: Each fault with its weight.
FAULTS: dict[Fault, int] = {
    crash_broker: 30,
    stop_broker: 5,
    crash_agent: 22,
    stop_agent: 6,
    crash_client: 8,
    partition: 20,
    freeze: 12,
    half_open: 4,
    stall_disk: 8,
    step_wall: 3,
}
