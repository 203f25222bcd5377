"""
Tests for L{jobroute.testing.faults} and L{jobroute.testing.mishaps}: each
does what it says.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.testing import faults, mishaps
from jobroute.testing.faults import Fault
from jobroute.testing.scenes import Scene
from jobroute.testing.simulation import Bugs
from jobroute.testing.world import World


class FaultTests(SynchronousTestCase):
    """
    One fault strikes a world that was well.
    """

    def setUp(self) -> None:
        """
        A world in which agents are registered and jobs run.
        """
        self.patch(Scene, "of", lambda random: Scene(2, 2, 0.0, 0.0, 1.0, 0.1, False, False))
        self.world = World(1, {})
        self.enterContext(Bugs(lambda: False).listening())
        self.world.begin()
        self.world.clock.advance(3.0)

    def struck(self, fault: Fault, seconds: float = 0.0) -> list[str]:
        """
        What the history says since a fault.
        """
        before = len(self.world.history)
        fault(self.world)
        self.world.clock.advance(seconds)
        self.assertTrue(self.world.coverage.counts, "It met nothing.")
        return [
            f"{entry.who.partition('.')[0]} {entry.what}"
            for entry in self.world.history.entries[before:]
        ]

    def test_all(self) -> None:
        """
        All that there are have a weight, and another name.
        """
        self.assertEqual(len({fault.__name__ for fault in faults.FAULTS}), len(faults.FAULTS))
        self.assertTrue(all(weight > 0 for weight in faults.FAULTS.values()))

    def test_crash_broker(self) -> None:
        """
        The broker dies, and lives again.
        """
        happened = self.struck(faults.crash_broker, 4.0)
        self.assertEqual(happened[0], "broker died")
        self.assertIn("broker ready", happened)

    def test_crash_broker_midway(self) -> None:
        """
        The broker dies after some more instructions, and nobody sees what it
        does afterwards in the same turn.
        """
        life = self.world.broker.life
        happened = self.struck(faults.crash_broker_midway, 5.0)
        self.assertIn("broker died", happened)
        self.assertGreater(self.world.broker.life, life)
        died = self.world.history.of("died")[0]
        self.assertFalse(
            [e for e in self.world.history if e.number > died.number and e.who == died.who]
        )

    def test_stop_broker(self) -> None:
        """
        The broker ends in order.
        """
        happened = self.struck(faults.stop_broker, 5.0)
        self.assertIn("broker stopping", happened)
        self.assertIn("broker left", happened)
        self.assertTrue(self.world.broker.serving)

    def test_freeze_broker(self) -> None:
        """
        The broker does nothing for a while, in one life.
        """
        happened = self.struck(faults.freeze_broker, 5.0)
        self.assertEqual(happened[0], "broker freeze")
        self.assertEqual(self.world.broker.life, 1)

    def test_crash_agent(self) -> None:
        """
        An agent dies, and lives again.
        """
        happened = self.struck(faults.crash_agent, 6.0)
        self.assertRegex(happened[0], "a. died")
        self.assertTrue(all(agent.up for agent in self.world.agents))

    def test_crash_agent_midway(self) -> None:
        """
        An agent dies after some more messages.
        """
        happened = self.struck(faults.crash_agent_midway, 6.0)
        self.assertTrue({"a1 died", "a2 died"} & set(happened))

    def test_stop_agent(self) -> None:
        """
        An agent ends in order.
        """
        happened = self.struck(faults.stop_agent, 10.0)
        self.assertRegex(happened[0], "a. stopping")
        self.assertTrue({"a1 left", "a2 left"} & set(happened))

    def test_replace_agent(self) -> None:
        """
        An agent dies and is there again at once, and is taken.
        """
        happened = self.struck(faults.replace_agent, 5.0)
        self.assertRegex(happened[0], "a. died")
        self.assertRegex(happened[1], "a. born")
        self.assertTrue(all(agent.up for agent in self.world.agents))

    def test_twin_agent(self) -> None:
        """
        There are two of one name for a while, and the first one stays.
        """
        happened = self.struck(faults.twin_agent, 0.4)
        [twin] = self.world.twins
        self.assertTrue(twin.up)
        self.assertIn(twin.name, [agent.name for agent in self.world.agents if agent.up])
        self.assertEqual(happened.count(f"{twin.name} born"), 1)
        self.world.clock.advance(10.0)
        self.assertFalse(twin.up)

    def test_freeze_agent(self) -> None:
        """
        An agent does nothing for a while, in one life.
        """
        happened = self.struck(faults.freeze_agent, 1.0)
        self.assertRegex(happened[0], "a. freeze")

    def test_crash_client(self) -> None:
        """
        A client dies, and lives again.
        """
        happened = self.struck(faults.crash_client, 6.0)
        self.assertRegex(happened[0], "c. died")
        self.assertTrue(all(client.up for client in self.world.clients))

    def test_crash_pair(self) -> None:
        """
        The broker and an agent die at once.
        """
        happened = self.struck(faults.crash_pair)
        self.assertRegex(happened[0], "a. died")
        self.assertEqual(happened[1], "broker died")

    def test_cut_power(self) -> None:
        """
        All die at once, and live again.
        """
        happened = self.struck(faults.cut_power)
        self.assertEqual(happened, [f"{name} died" for name in ("broker", "a1", "a2", "c1", "c2")])
        self.world.clock.advance(3.0)
        self.assertTrue(all(agent.up for agent in self.world.agents))

    def test_partition(self) -> None:
        """
        A host is cut off, and not for ever.
        """
        happened = self.struck(faults.partition, 6.0)
        self.assertEqual(happened[0], "world partition")
        self.assertIn("world heal", happened)

    def test_half_open(self) -> None:
        """
        Connections die.
        """
        self.assertEqual(self.struck(faults.half_open)[0], "world half-open")

    def test_lose_delivery(self) -> None:
        """
        Something to an agent vanishes.
        """
        self.world.broker.drop(False, "deliver", lambda: None)
        faults.lose_delivery(self.world)
        self.struck(faults.lose_delivery, 8.0)
        dropped = self.world.history.of("dropped")
        self.assertIn("deliver", [entry.said["message"] for entry in dropped])
        self.assertFalse(any(entry.said["received"] for entry in dropped))

    def test_lose_reply(self) -> None:
        """
        Something of an agent vanishes.
        """
        faults.lose_reply(self.world)
        faults.lose_reply(self.world)
        self.struck(faults.lose_reply, 8.0)
        dropped = self.world.history.of("dropped")
        self.assertTrue(dropped)
        self.assertTrue(all(entry.said["received"] for entry in dropped))

    def test_stall_disk(self) -> None:
        """
        Nothing is committed.
        """
        self.struck(mishaps.stall_disk)
        self.world.clock.advance(0.05)
        position = self.world.broker.disk.pending
        self.world.clock.advance(0.04)
        self.assertEqual(self.world.broker.disk.pending[: len(position)], position)

    def test_slow_disk(self) -> None:
        """
        Each commit takes longer.
        """
        self.struck(mishaps.slow_disk)
        self.assertGreater(self.world.slow_until, self.world.clock.now + 0.9)

    def test_fill_disk(self) -> None:
        """
        The broker is told, and told again when there is room.
        """
        assert self.world.broker.service is not None
        admission = self.world.broker.service.broker.admission
        self.struck(mishaps.fill_disk)
        self.assertIsNotNone(admission.trouble)
        self.world.clock.advance(3.0)
        self.assertIsNone(admission.trouble)

    def test_fail_fsync(self) -> None:
        """
        The broker ends by itself, and is started again.
        """
        happened = self.struck(mishaps.fail_fsync, 5.0)
        self.assertIn("broker left", happened)
        self.assertTrue(self.world.broker.serving)

    def test_step_wall(self) -> None:
        """
        A wall clock is set, and no other.
        """
        self.struck(mishaps.step_wall)
        everybody = (self.world.broker, *self.world.agents)
        self.assertEqual(len([p for p in everybody if p.clock.ahead]), 1)

    def test_jump(self) -> None:
        """
        A monotonic clock jumps forward.
        """
        everybody = (self.world.broker, *self.world.agents, *self.world.clients)
        before = [process.clock.monotonic() for process in everybody]
        self.struck(mishaps.jump)
        after = [process.clock.monotonic() for process in everybody]
        self.assertEqual(len([1 for b, a in zip(before, after, strict=True) if a > b]), 1)
