"""
Tests for L{jobroute.testing.coverage}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.testing.coverage import STATES, Coverage, states
from jobroute.testing.errands import WORK, Errand
from jobroute.testing.questions import JobPlan
from jobroute.testing.scenes import Scene
from jobroute.testing.simulation import Bugs
from jobroute.testing.world import World


class StatesTests(SynchronousTestCase):
    """
    One part goes through its states.
    """

    def setUp(self) -> None:
        """
        A world in which nobody asks by himself, with a disk that commits
        when it is told.
        """
        self.patch(Scene, "of", lambda random: Scene(1, 1, 0.0, 0.0, 1.0, 1e9, False, False))
        world = self.world = World(1, {})
        self.enterContext(Bugs(lambda: False).listening())
        world.begin()
        world.clock.advance(1.0)
        world.stalled_until = 1e9

    def submit(self, lasts: float = 0.2) -> None:
        """
        Hand in a job, and wait for it.
        """
        asker = self.world.clients[0].asker
        assert asker is not None
        asker.submit(JobPlan(WORK, Errand(lasts), id="j1"))
        asker.wait("j1", None, False)
        self.world.clock.advance(0.01)

    def found(self, seconds: float = 0.0, victim: int | None = None) -> list[str]:
        """
        The states after a while.
        """
        world = self.world
        if seconds:
            world.clock.advance(seconds)
        return states(world.broker, world.agents, None if victim is None else world.agents[victim])

    def commit(self) -> None:
        """
        All that was written is on disk.
        """
        self.world.broker.disk.commit()

    def test_life(self) -> None:
        """
        From its attempt to its acknowledgement.
        """
        self.assertEqual(self.found(), [])
        self.submit()
        self.assertEqual(self.found(), ["assigned"])
        self.commit()
        self.assertEqual(self.found(), ["underway"])
        self.assertEqual(self.found(0.01), ["running"])
        self.world.partition("broker")
        self.assertEqual(self.found(0.3), ["finished"])
        self.world.heal("broker")
        self.assertEqual(self.found(0.3), ["heard", "awaited"])
        self.commit()
        self.assertEqual(self.found(), ["stored"])
        self.assertEqual(self.found(1.0), [])

    def test_queued(self) -> None:
        """
        It waits for an agent; so it does while there is no broker.
        """
        self.world.agents[0].crash()
        self.world.clock.advance(3.0)
        self.commit()
        self.submit()
        self.assertEqual(self.found(), ["queued"])
        self.commit()
        self.world.broker.crash()
        self.assertEqual(self.found(), ["queued"])

    def test_orphaned(self) -> None:
        """
        The agent works on while there is no broker.
        """
        self.submit()
        self.commit()
        self.found(0.01)
        self.world.broker.crash()
        self.assertEqual(self.found(), ["running"])
        self.assertEqual(self.found(1.0), ["finished"])

    def test_cancelled(self) -> None:
        """
        It is to stop.
        """
        self.submit(5.0)
        self.commit()
        self.found(0.01)
        asker = self.world.clients[0].asker
        assert asker is not None
        asker.cancel("j1", None)
        self.assertEqual(self.found(0.01), ["running", "cancelling"])

    def test_another_victim(self) -> None:
        """
        What one agent has does not count when another one is hit.
        """
        self.submit(5.0)
        self.commit()
        self.assertEqual(self.found(0.01, 0), ["running"])
        twin = self.world.twin(self.world.agents[0])
        self.assertNotIn("running", states(self.world.broker, self.world.agents, twin))


class CoverageTests(SynchronousTestCase):
    """
    Counting.
    """

    def test_counts(self) -> None:
        """
        Strikes are counted by fault and state, over many runs.
        """
        one, other = Coverage(), Coverage()
        one.struck("crash", ["queued", "running"])
        one.struck("crash", ["running"])
        other.struck("crash", ["running"])
        one.add(other.counts)
        self.assertEqual(one.counts, {("crash", "queued"): 1, ("crash", "running"): 3})

    def test_states(self) -> None:
        """
        Each state says what it means.
        """
        self.assertTrue(all(STATES.values()))
