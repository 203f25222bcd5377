"""
Tests for L{jobroute.testing.torture.acts}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from jobroute.testing.torture import acts
from jobroute.testing.torture.acts import ACTS, Deck


@define(eq=False)
class FakeActor:
    """
    Notes what is done to it.
    """

    name: str
    up: bool = True
    ready: bool = True
    stopping: bool = False
    frozen: bool = False
    life: int = 1
    done: list[str] = field(factory=list)

    def kill(self) -> None:
        """
        It is dead.
        """
        self.done.append("kill")
        self.up = self.ready = self.frozen = False

    def freeze(self) -> None:
        """
        It is stopped.
        """
        self.done.append("freeze")
        self.frozen = True

    def thaw(self) -> None:
        """
        It goes on.
        """
        self.done.append("thaw")
        self.frozen = False

    def stop(self) -> None:
        """
        It is asked to end.
        """
        self.done.append("stop")
        self.stopping = True


@define(eq=False)
class FakeVictims:
    """
    A torture without processes.
    """

    random: Random = field(factory=lambda: Random(1))
    broker: Any = field(factory=lambda: FakeActor("broker"))
    agents: list[Any] = field(factory=lambda: [FakeActor("a1")])
    clients: list[Any] = field(factory=lambda: [FakeActor("c1")])
    timers: list[tuple[float, Callable[[], object]]] = field(factory=list)
    revived: list[str] = field(factory=list)

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """
        Keep it.
        """
        self.timers.append((seconds, function))

    def revive(self, actor: Any) -> None:
        """
        Note it.
        """
        self.revived.append(actor.name)

    def pass_time(self) -> None:
        """
        Everything that waits happens.
        """
        timers, self.timers = self.timers, []
        for _, function in timers:
            function()


class ActTests(SynchronousTestCase):
    """
    What is done, and what happens then.
    """

    def setUp(self) -> None:
        """
        Everybody is well.
        """
        self.victims = FakeVictims()

    def test_kill(self) -> None:
        """
        Whoever is killed is started again.
        """
        self.assertTrue(acts.kill_both(self.victims))
        self.assertTrue(acts.kill_client(self.victims))
        for actor in (self.victims.broker, *self.victims.agents, *self.victims.clients):
            self.assertEqual(actor.done, ["kill"])
        self.victims.pass_time()
        self.assertEqual(self.victims.revived, ["a1", "broker", "c1"])

    def test_kill_before_ready(self) -> None:
        """
        The broker is killed at whatever it does; a frozen one, too.
        """
        self.victims.broker.ready, self.victims.broker.frozen = False, True
        self.assertTrue(acts.kill_broker(self.victims))
        self.assertFalse(acts.kill_broker(self.victims))

    def test_freeze(self) -> None:
        """
        Whoever is stopped goes on: before his lease is over, or after.
        """
        self.assertTrue(acts.freeze_broker(self.victims))
        self.assertTrue(acts.freeze_agent_long(self.victims))
        self.assertFalse(acts.freeze_broker_long(self.victims))
        [(short, _), (long, _)] = self.victims.timers
        self.assertTrue(short < 2.0 < long)
        self.victims.pass_time()
        self.assertEqual(self.victims.broker.done, ["freeze", "thaw"])

    def test_thaw_another_life(self) -> None:
        """
        Whoever was killed meanwhile does not go on.
        """
        self.assertTrue(acts.freeze_client(self.victims))
        [client] = self.victims.clients
        client.life = 2
        self.victims.pass_time()
        self.assertEqual(client.done, ["freeze"])

    def test_stop(self) -> None:
        """
        Whoever is asked to end is not asked again, nor is one who cannot
        hear it.
        """
        self.assertTrue(acts.stop_broker(self.victims))
        self.assertFalse(acts.stop_broker(self.victims))
        self.assertTrue(acts.stop_agent(self.victims))
        self.assertFalse(acts.stop_agent(self.victims))
        frozen = FakeVictims()
        acts.freeze_agent(frozen)
        self.assertFalse(acts.stop_agent(frozen))

    def test_nobody(self) -> None:
        """
        Where nobody is, nobody is hit.
        """
        for actor in (self.victims.broker, *self.victims.agents, *self.victims.clients):
            actor.up = actor.ready = False
        self.assertEqual([act.__name__ for act in ACTS if act(self.victims)], [])

    def test_deck(self) -> None:
        """
        Each act comes as often as it shall, in an order that the seed says,
        and enough of them in ten minutes.
        """
        deck, again = Deck(Random(7)), Deck(Random(7))
        size = sum(ACTS.values())
        drawn = [deck.draw() for _ in range(2 * size)]
        self.assertEqual(drawn, [again.draw() for _ in range(2 * size)])
        self.assertEqual(Counter(drawn[:size]), Counter(ACTS))
        self.assertEqual(Counter(drawn[size:]), Counter(ACTS))
        self.assertNotEqual(drawn[:size], drawn[size:])
        decks = 600.0 / (sum(acts.PAUSE) / 2) / size
        for act in (acts.kill_broker, acts.kill_agent, acts.kill_client):
            self.assertGreater(ACTS[act] * decks, 40)
