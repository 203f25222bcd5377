# -*- test-case-name: tests.simulation.test_faults -*-
"""
What can go wrong with processes and with the network, and how often.

A fault is a function that is given the world and changes it; to add one,
write it, let it say L{World.strike} when it happens, and give it a weight in
L{FAULTS}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jobroute.testing import mishaps
from jobroute.testing.brokers import LEASE
from jobroute.testing.processes import Process

if TYPE_CHECKING:
    from jobroute.testing.world import World

Fault = Callable[["World"], None]

#: After how many instructions, at most, somebody dies in the middle.
MIDWAY = 40

# -- The broker


def crash_broker(world: World) -> None:
    """
    The broker dies; of what was on its way to the disk, some may arrive.
    """
    _crash_broker(world, crash_broker, world.random.random() < 0.5)


def crash_broker_midway(world: World) -> None:
    """
    The broker dies between two instructions, whatever it is at.
    """
    arrives = world.random.random() < 0.5
    world.broker.after_instructions(
        world.random.randrange(1, MIDWAY),
        lambda: _crash_broker(world, crash_broker_midway, arrives),
    )


def _crash_broker(world: World, fault: Fault | None, arrives: bool) -> None:
    broker, random = world.broker, world.random
    if not broker.up or world.calm:
        return
    if fault is not None:
        world.strike(fault, broker)
    pending = broker.disk.pending
    if pending and arrives:
        broker.disk.commit(random.choice(pending), report=False)
    broker.crash()
    world.later(random.choice((0.05, 0.3, random.uniform(0.0, 3.0))), world.raise_broker)


def stop_broker(world: World) -> None:
    """
    The broker is stopped in order.
    """
    if world.broker.serving:
        world.strike(stop_broker, world.broker)
        world.broker.stop()
        world.later(world.random.uniform(1.5, 3.0), world.raise_broker)


def freeze_broker(world: World) -> None:
    """
    The broker is stopped for a while, and does not know it.
    """
    _freeze(world, freeze_broker, world.broker, world.random.uniform(0.2, 4.0))


# -- Agents


def crash_agent(world: World) -> None:
    """
    An agent dies.
    """
    _crash(world, crash_agent, world.some_agent())


def crash_agent_midway(world: World) -> None:
    """
    An agent dies between two instructions, whatever it is at.
    """
    agent = world.some_agent()
    agent.after_instructions(
        world.random.randrange(1, MIDWAY // 4),
        lambda: _crash(world, crash_agent_midway, agent),
    )


def stop_agent(world: World) -> None:
    """
    An agent is stopped in order.
    """
    agent = world.some_agent()
    if agent.up and not agent.stopping:
        world.strike(stop_agent, agent)
        agent.stop()
        world.later(world.random.uniform(0.5, 6.0), lambda: world.raise_process(agent))


def replace_agent(world: World) -> None:
    """
    An agent dies and is there again at once, and its old connection does not
    end.
    """
    agent = world.some_agent()
    if agent.up:
        world.strike(replace_agent, agent)
        world.network.half_open(agent.host_name)
        agent.crash()
        world.raise_process(agent)


def twin_agent(world: World) -> None:
    """
    Somebody starts an agent under a name that another one has.
    """
    agent = world.some_agent()
    if len(world.twins) < 2:
        world.strike(twin_agent, agent)
        twin = world.twin(agent)
        world.raise_process(twin)

        def end() -> None:
            if twin.up:
                twin.crash()

        world.later(world.random.uniform(0.5, 6.0), end)


def freeze_agent(world: World) -> None:
    """
    An agent is stopped, often for longer than its lease, and continued.
    """
    seconds = world.random.choice((world.random.uniform(0.2, 1.0), LEASE * 1.5, LEASE * 3))
    _freeze(world, freeze_agent, world.some_agent(), seconds)


def _freeze(world: World, fault: Fault, process: Process, seconds: float) -> None:
    if not process.up:
        return
    world.strike(fault, process)
    world.history.add(process.who, "freeze", seconds=seconds)
    process.reactor.freeze(seconds)
    # Its sockets are as silent as it is.
    world.partition(process.host_name)
    world.later(seconds, lambda: world.heal(process.host_name))


# -- Several


def crash_client(world: World) -> None:
    """
    A client dies.
    """
    _crash(world, crash_client, world.random.choice(world.clients))


def crash_pair(world: World) -> None:
    """
    The broker and an agent die at the same moment.
    """
    agent = world.some_agent()
    if world.broker.up and agent.up:
        world.strike(crash_pair, agent)
        agent.crash()
        _crash_broker(world, None, world.random.random() < 0.5)
        world.raise_later(agent, world.random.uniform(0.0, 3.0))


def cut_power(world: World) -> None:
    """
    Everything dies at the same moment, and nothing more comes to the disk.
    """
    world.strike(cut_power, None)
    for process in (world.broker, *world.agents, *world.twins, *world.clients):
        if process.up:
            process.crash()
    for process in (world.broker, *world.agents, *world.clients):
        world.raise_later(process, world.random.uniform(0.0, 2.0))


def _crash(world: World, fault: Fault, process: Process) -> None:
    if process.up and not world.calm:
        world.strike(fault, process)
        process.crash()
        pause = world.random.choice((0.0, 0.3, world.random.uniform(0.0, 5.0)))
        world.raise_later(process, pause)


# -- The network


def partition(world: World) -> None:
    """
    A host is cut off for a while.
    """
    agent = world.some_agent()
    process: Process = world.random.choice((world.broker, agent, agent, *world.clients[:1]))
    world.strike(partition, process)
    world.partition(process.host_name)
    pause = world.random.choice((0.2, world.random.uniform(0.0, 5.0)))
    world.later(pause, lambda: world.heal(process.host_name))


def half_open(world: World) -> None:
    """
    The connections of a host die, and nobody hears of it.
    """
    agent = world.some_agent()
    process: Process = world.random.choice((agent, agent, world.random.choice(world.clients)))
    world.strike(half_open, process)
    world.history.add("world", "half-open", host=process.host_name)
    world.network.half_open(process.host_name)


def lose_delivery(world: World) -> None:
    """
    Something that the broker says to an agent vanishes, and both live.
    """
    kind = world.random.choice(("deliver", "deliver", "deliver", "ack", "welcome", "cancel", ""))
    _lose(world, lose_delivery, False, kind)


def lose_reply(world: World) -> None:
    """
    Something that an agent says to the broker vanishes, and both live.
    """
    kind = world.random.choice(("result", "result", "beat", "partial", "pong", "failure", ""))
    _lose(world, lose_reply, True, kind)


def _lose(world: World, fault: Fault, received: bool, kind: str) -> None:
    world.broker.drop(received, kind, lambda: world.strike(fault, world.broker))


#: Each fault with its weight.
FAULTS: dict[Fault, int] = {
    crash_broker: 24,
    crash_broker_midway: 12,
    stop_broker: 6,
    freeze_broker: 6,
    crash_agent: 16,
    crash_agent_midway: 8,
    stop_agent: 7,
    replace_agent: 5,
    twin_agent: 4,
    freeze_agent: 10,
    crash_client: 8,
    crash_pair: 5,
    cut_power: 3,
    partition: 16,
    half_open: 5,
    lose_delivery: 8,
    lose_reply: 8,
    mishaps.stall_disk: 5,
    mishaps.slow_disk: 5,
    mishaps.fill_disk: 4,
    mishaps.fail_fsync: 4,
    mishaps.step_wall: 4,
    mishaps.jump: 4,
}
