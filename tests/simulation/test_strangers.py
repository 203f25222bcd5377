"""
Tests for L{jobroute.testing.strangers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.testing.scenes import Scene
from jobroute.testing.simulation import Bugs
from jobroute.testing.world import World


class StrangerTests(SynchronousTestCase):
    """
    A stranger in a world that is well.
    """

    def setUp(self) -> None:
        """
        Let it talk for a while.
        """
        self.patch(Scene, "of", lambda random: Scene(2, 2, 0.0, 0.0, 1.0, 0.02, False, False, 1))
        self.world = World(1, {})
        self.bugs = Bugs(lambda: False)
        self.enterContext(self.bugs.listening())
        self.world.begin()
        self.world.clock.advance(6.0)

    def test_heard_everywhere(self) -> None:
        """
        It reaches each socket, and the broker counts what it cannot use.
        """
        service = self.world.broker.service
        assert service is not None
        counters = service.broker.counters
        for name in (
            "messages_malformed",
            "agent_messages_malformed",
            "announcements_malformed",
            "strangers",
            "requests_refused",
        ):
            self.assertGreater(counters[name], 0, name)
        self.assertEqual(self.bugs.found, [])

    def test_answered(self) -> None:
        """
        It is answered, and mostly refused.
        """
        received = self.world.history.of("received")
        self.assertGreater(len(received), 20)
        self.assertGreater(len([entry for entry in received if entry.get("code")]), 10)
        self.assertGreater(len([entry for entry in received if not entry.get("code")]), 3)

    def test_borrowed(self) -> None:
        """
        It comes back under the identities of clients.
        """
        connected = self.world.history.of("connected")
        clients = {entry.said["client"] for entry in self.world.history.of("request")}
        self.assertTrue(
            [e for e in connected if e.said["borrowed"] and e.said["client"] in clients]
        )

    def test_repeats(self) -> None:
        """
        It says again what it overheard.
        """
        own = {e.said["client"] for e in self.world.history.of("connected")}
        repeated = [
            entry
            for entry in self.world.history.of("request")
            if entry.said["client"] in own and entry.get("command") == "SUBMIT" and entry.get("job")
        ]
        self.assertTrue(repeated)
