"""
Tests of how an agent becomes one, and stays one.
"""

from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.registration import State
from tests.agent.support import Bench


class RegistrationTests(SynchronousTestCase):
    """
    An agent that a broker takes, forgets, refuses or leaves alone.
    """

    def setUp(self) -> None:
        """
        Make an agent that has not begun.
        """
        self.bench = Bench()
        self.outlet = self.bench.outlet

    def state(self) -> State:
        """
        How it stands.
        """
        return self.bench.core.registration.state

    def test_announced_at_once(self) -> None:
        """
        It says who it is when it starts, and nothing on the backend.
        """
        self.bench.core.start(self.bench.now)
        self.assertEqual((self.outlet.announced, self.outlet.sent), (1, []))

    def test_pauses_grow(self) -> None:
        """
        While nobody answers it announces itself less and less often, but
        goes on.
        """
        self.bench.core.start(self.bench.now)
        counts = []
        for _ in range(4):
            before = self.outlet.announced
            self.bench.advance(60)
            counts.append(self.outlet.announced - before)
        self.assertGreater(counts[0], counts[1])
        self.assertGreaterEqual(counts[3], 1)

    def test_pauses_have_jitter(self) -> None:
        """
        Two agents that start together don't stay together.
        """
        other = Bench()
        other.core.registration._random.seed(2)
        for bench in (self.bench, other):
            bench.core.start(bench.now)
        self.assertNotEqual(self.bench.core.deadline, other.core.deadline)

    def test_not_connected_yet(self) -> None:
        """
        What could not be sent is tried again soon.
        """
        self.outlet.connected = False
        self.bench.core.start(self.bench.now)
        self.bench.advance(0.2)
        self.outlet.connected = True
        self.bench.advance(0.3)
        self.assertEqual(self.outlet.announced, 1)

    def test_pinged(self) -> None:
        """
        A ping is answered with its nonce, before the welcome too.
        """
        self.bench.core.start(self.bench.now)
        self.bench.hear("ping", nonce="n1")
        [pong] = self.outlet.take()
        self.assertEqual((pong.message, pong.nonce, pong.held), ("pong", "n1", []))

    def test_welcome(self) -> None:
        """
        Once it is welcome it beats at once, and announces itself no more.
        """
        self.bench.core.start(self.bench.now)
        self.bench.welcome()
        self.assertEqual(self.outlet.welcomes, 1)
        self.assertEqual([m.message for m in self.outlet.sent], ["beat"])
        self.bench.advance(60)
        self.assertEqual(self.outlet.announced, 1)

    def test_beats(self) -> None:
        """
        No two beats are further apart than the interval.
        """
        self.bench.ready()
        times: list[float] = []
        for _ in range(300):
            self.bench.advance(0.1)
            if self.outlet.take("beat"):
                times.append(self.bench.now)
        gaps = [b - a for a, b in pairwise(times)]
        self.assertGreater(len(gaps), 10)
        self.assertLessEqual(max(gaps), 2.11)

    def test_beats_ask(self) -> None:
        """
        Without the broker's own beats, one that hears nothing asks; with
        them, it asks less often.
        """

        def asked(bench: Bench) -> int:
            bench.ready()
            bench.outlet.sent.clear()
            bench.advance(20)
            return sum(m.answer for m in bench.outlet.sent)

        heard = Bench()
        heard.core.registration.listening = True
        alone, together = asked(self.bench), asked(heard)
        self.assertGreater(alone, together)
        self.assertGreater(together, 2)

    def test_away(self) -> None:
        """
        A broker that says nothing for the whole lease is away: it is looked
        for, and announced to; beats go on.
        """
        self.bench.ready()
        self.bench.advance(9.9, hear=False)
        self.assertIs(self.state(), State.READY)
        self.bench.advance(0.2, hear=False)
        self.assertIs(self.state(), State.AWAY)
        self.assertEqual((self.outlet.announced, self.outlet.sought), (2, 1))
        self.outlet.sent.clear()
        self.bench.advance(10, hear=False)
        self.assertTrue(self.outlet.take("beat"))

    def test_shortest_lease(self) -> None:
        """
        With the shortest lease an answered agent never thinks that the
        broker is away.
        """
        for listening in (False, True):
            bench = Bench()
            bench.core.registration.listening = listening
            bench.core.start(bench.now)
            bench.welcome(liveness=2)
            bench.advance(100)
            self.assertEqual(bench.outlet.sought, 0)

    def test_back(self) -> None:
        """
        A broker that answers a beat knows the agent, which says again what
        is not acknowledged.
        """
        self.bench.ready()
        self.bench.deliver(1)
        self.bench.finish()
        self.bench.advance(11, hear=False)
        self.outlet.sent.clear()
        self.bench.hear("pong", epoch=3)
        self.assertIs(self.state(), State.READY)
        self.assertEqual(self.outlet.said(), ["result"])

    def test_restarted(self) -> None:
        """
        A broker that does not know the agent any more is told who it is,
        once, and then everything is said again.
        """
        self.bench.ready()
        self.bench.deliver(1)
        self.bench.finish()
        self.outlet.sent.clear()
        self.bench.hear("reregister", epoch=4)
        self.bench.hear("reregister", epoch=4)
        self.assertEqual(self.outlet.announced, 2)
        self.assertEqual(self.outlet.said(), [])
        self.bench.welcome(epoch=4)
        self.assertEqual(self.outlet.said(), ["result"])

    def test_heartbeat_of_another_epoch(self) -> None:
        """
        The heartbeat of a broker that was restarted is not believed, but
        makes the agent ask at once.
        """
        self.bench.ready()
        self.bench.core.beat_heard(4, self.bench.now)
        [beat] = self.outlet.take("beat")
        self.assertTrue(beat.answer)
        self.assertEqual(self.bench.core.registration.epoch, 3)

    def test_spread(self) -> None:
        """
        It chooses a moment in the time that the broker gives to all, once in
        an epoch.
        """
        chosen = []
        for seed in range(20):
            bench = Bench()
            bench.core.registration._random.seed(seed)
            bench.ready()
            before = bench.now
            bench.core.beat_heard(4, bench.now, 6.0)
            for _ in range(70):
                bench.advance(0.1, hear=False)
                bench.core.beat_heard(4, bench.now, 6.0)
                if bench.outlet.take("beat"):
                    chosen.append(bench.now - before)
                    break
        self.assertEqual(len(chosen), 20)
        self.assertLess(min(chosen), 2.0)
        self.assertGreater(max(chosen), 4.0)
        self.assertLess(max(chosen), 6.2)

    def test_called(self) -> None:
        """
        While it looks for the broker less and less often, the heartbeat of
        one that is back is heard.
        """
        self.bench.ready()
        self.bench.hear("farewell", wait=1.0)
        self.bench.advance(40, hear=False)
        before = self.outlet.announced
        self.bench.core.beat_heard(4, self.bench.now)
        self.bench.core.beat_heard(4, self.bench.now)
        self.assertEqual(self.outlet.announced, before + 1)

    def test_told_when(self) -> None:
        """
        A broker that does not know it, or has no room, says when it may
        announce itself; its heartbeat is no reason to do so before.
        """
        self.bench.ready()
        self.bench.hear("reregister", epoch=4, wait=5.0)
        for _ in range(49):
            self.bench.core.beat_heard(4, self.bench.now)
            self.bench.advance(0.1)
        self.assertEqual(self.outlet.announced, 1)
        self.bench.advance(0.2)
        self.assertEqual(self.outlet.announced, 2)
        self.bench.hear("refuse", code="busy", error="Full.", after=20.0)
        self.bench.advance(19.9)
        self.assertEqual(self.outlet.announced, 2)
        self.bench.advance(4.2)
        self.assertEqual(self.outlet.announced, 3)

    def test_grace(self) -> None:
        """
        No pause is so long that a broker which is back for its whole grace
        would not hear of it.
        """
        self.bench.core.start(self.bench.now)
        self.bench.hear("welcome", number=7, epoch=3, interval=0.5, liveness=5, grace=2.5)
        self.bench.hear("farewell", wait=0.1)
        times, before = [], self.outlet.announced
        for _ in range(600):
            self.bench.advance(0.1, hear=False)
            if self.outlet.announced > before:
                before = self.outlet.announced
                times.append(self.bench.now)
        self.assertLess(max(b - a for a, b in pairwise(times)), 1.0)

    def test_farewell(self) -> None:
        """
        A broker that stops is left alone as long as it says.
        """
        self.bench.ready()
        self.bench.hear("farewell", wait=5.0)
        self.outlet.sent.clear()
        self.bench.advance(3.9)
        self.assertEqual((self.outlet.announced, self.outlet.sent), (1, []))
        self.bench.advance(2.2)
        self.assertEqual(self.outlet.announced, 2)

    def test_given_work_after_a_farewell(self) -> None:
        """
        A restarted broker that knows the agent may give it work before it
        announced itself; the reply does not wait.
        """
        self.bench.ready()
        self.bench.hear("farewell", wait=100.0)
        self.bench.deliver(1)
        self.bench.finish()
        self.assertIn("result", self.outlet.said())

    def test_refused(self) -> None:
        """
        A refusal without hope ends it.
        """
        self.bench.core.start(self.bench.now)
        self.bench.hear("refuse", code="bad-version", error="No.")
        self.assertEqual(self.outlet.refusals, [("bad-version", "No.")])
        self.assertEqual(self.bench.core.deadline, float("inf"))

    def test_refused_for_now(self) -> None:
        """
        A broker that is busy is asked again, for ever.
        """
        self.bench.core.start(self.bench.now)
        for _ in range(20):
            self.bench.hear("refuse", code="busy", error="Too many.")
            before = self.outlet.announced
            self.bench.advance(60)
            self.assertGreater(self.outlet.announced, before)
        self.assertEqual(self.outlet.refusals, [])

    def test_name_taken(self) -> None:
        """
        Who has the name may be our own earlier life: patience, but not for
        ever.
        """
        self.bench.core.start(self.bench.now)
        for _ in range(4):
            self.bench.hear("refuse", code="name-taken", error="It lives.")
            self.bench.advance(7)
        self.assertEqual(self.outlet.refusals, [])
        self.assertGreaterEqual(self.outlet.announced, 5)
        self.bench.advance(3)
        self.bench.hear("refuse", code="name-taken", error="It lives.")
        self.assertEqual(self.outlet.refusals, [("name-taken", "It lives.")])

    def test_left(self) -> None:
        """
        Taking leave is said, and after it nothing is.
        """
        self.bench.ready()
        self.bench.core.leave()
        self.assertEqual(self.outlet.said(), ["unregister"])
        self.bench.hear("ping", nonce="n")
        self.bench.deliver(1)
        self.bench.advance(100)
        self.assertEqual(self.outlet.sent, [])

    def test_draining(self) -> None:
        """
        That it drains is said at once, with each beat, and after each
        welcome.
        """
        self.bench.ready()
        self.bench.core.drain(self.bench.now)
        self.assertEqual(self.outlet.said(), ["drain"])
        self.bench.advance(2.0)
        self.assertIn("drain", self.outlet.said())
        self.bench.hear("reregister")
        self.bench.welcome(4)
        self.assertIn("drain", self.outlet.said())

    def test_silly_numbers(self) -> None:
        """
        A broker's numbers are taken within reason.
        """
        self.bench.core.start(self.bench.now)
        self.bench.welcome(interval=0.0, liveness=-3)
        registration = self.bench.core.registration
        self.assertEqual((registration.interval, registration.liveness), (0.05, 2))
        self.bench.welcome(interval=1e300, liveness=10**9)
        self.assertEqual((registration.interval, registration.liveness), (3600.0, 1000))

    def test_sockets_found(self) -> None:
        """
        When the broker's sockets are found again, the agent announces itself
        there at once.
        """
        self.bench.ready()
        self.bench.advance(11, hear=False)
        before = self.outlet.announced
        self.bench.core.registration.found(self.bench.now)
        self.assertEqual(self.outlet.announced, before + 1)
