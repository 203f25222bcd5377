# -*- test-case-name: tests.simulation.test_faults -*-
"""
What can go wrong with the disk and the clocks; in the form of
L{jobroute.testing.faults}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobroute.errors import StorageError

if TYPE_CHECKING:
    from jobroute.testing.world import World

#: A wall clock is stepped by up to so many seconds; in some worlds by hours.
STEP = 1.5
HOURS = 5 * 3600.0


def stall_disk(world: World) -> None:
    """
    The disk commits nothing for a while.
    """
    world.strike(stall_disk, world.broker)
    _stall(world)


def slow_disk(world: World) -> None:
    """
    Each commit takes long for a while.
    """
    world.strike(slow_disk, world.broker)
    pause = world.random.uniform(1.0, 3.0)
    world.history.add("world", "stall", seconds=round(pause, 3))
    world.slow_until = world.clock.now + pause


def fill_disk(world: World) -> None:
    """
    The disk is full for a while: commits fail, and the broker is told.
    """
    if world.broker.serving:
        world.strike(fill_disk, world.broker)
        pause, disk = _stall(world), world.broker.disk
        disk.trouble(StorageError("The disk of the simulation is full: make room."))
        life = disk.life

        def room() -> None:
            if disk.life == life:
                disk.trouble(None)

        world.later(pause, room)


def _stall(world: World) -> float:
    pause = world.random.uniform(0.1, 2.5)
    world.history.add("world", "stall", seconds=round(pause, 3))
    world.stalled_until = max(world.stalled_until, world.clock.now + pause)
    return pause


def fail_fsync(world: World) -> None:
    """
    An fsync fails: nobody knows what is on disk, the broker ends, and is
    started again.
    """
    broker, random = world.broker, world.random
    if broker.serving and broker.reactor.frozen_until <= world.clock.now:
        world.strike(fail_fsync, broker)
        broker.stopping = True
        pending = broker.disk.pending
        broker.disk.fail(random.choice(pending) if pending and random.random() < 0.7 else None)
        world.raise_later(broker, random.uniform(0.5, 2.0))


def step_wall(world: World) -> None:
    """
    Somebody sets the wall clock of a process.
    """
    process = world.random.choice((world.broker, world.broker, world.some_agent()))
    world.strike(step_wall, process)
    most = HOURS if world.hours else STEP
    world.step(process, world.random.uniform(-most, most))


def jump(world: World) -> None:
    """
    For a process more time has passed than for all others: its machine was
    suspended, or moved.
    """
    process = world.random.choice((world.broker, world.some_agent(), *world.clients[:1]))
    if process.up:
        world.strike(jump, process)
        seconds = world.random.choice((world.random.uniform(0.1, 2.0), 30.0, 3600.0))
        world.history.add(process.who, "jump", seconds=seconds)
        process.clock.jump(seconds)
        world.step(process, seconds)
