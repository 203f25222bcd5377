"""
Tests of what is kept until the broker acknowledges it.
"""

from __future__ import annotations

from msgspec import Raw
from twisted.trial.unittest import SynchronousTestCase

from tests.agent.support import Bench


class OutboxTests(SynchronousTestCase):
    """
    Replies that are sent, lost, and sent again.
    """

    def setUp(self) -> None:
        """
        Make an agent that runs one attempt.
        """
        self.bench = Bench()
        self.bench.ready()
        self.outlet = self.bench.outlet
        self.outbox = self.bench.core.outbox
        self.bench.deliver(1)
        self.attempt = self.outlet.started[0]

    def partial(self, frame: bytes) -> None:
        """
        The function hands in a partial result.
        """
        self.bench.core.work.partial(self.attempt, (frame,), self.bench.now)

    def seen(self) -> list[str]:
        """
        What was sent since the last time, but beats.
        """
        return [m.message + (str(m.sequence) if m.sequence else "") for m in self.outlet.take()]

    def test_sent_again(self) -> None:
        """
        A result is sent again until it is acknowledged, less and less often.
        """
        self.bench.finish()
        counts = []
        for _ in range(4):
            self.bench.advance(70)
            counts.append(len(self.outlet.take("result")))
        self.assertGreater(counts[0], counts[1])
        self.assertGreaterEqual(min(counts), 1)
        self.bench.ack([1, 1])
        self.bench.advance(200)
        self.assertEqual(self.outlet.take("result"), [])

    def test_epoch(self) -> None:
        """
        It is sent at once when the broker is in another epoch, however that
        is heard; and not again when it is in the same.
        """
        self.bench.finish()
        self.outlet.take()
        self.bench.hear("pong", epoch=3)
        self.bench.welcome(epoch=3)
        self.assertEqual(self.seen(), [])
        self.bench.hear("pong", epoch=4)
        self.assertEqual(self.seen(), ["result"])
        self.bench.welcome(epoch=5)
        self.assertEqual(self.seen(), ["result"])

    def test_once_when_back(self) -> None:
        """
        A broker that is back in another epoch is told once, not twice.
        """
        self.bench.finish()
        self.bench.advance(11, hear=False)
        self.outlet.take()
        self.bench.hear("pong", epoch=4)
        self.assertEqual(self.seen(), ["result"])

    def test_full_socket(self) -> None:
        """
        What a socket has no room for is sent soon, in order.
        """
        self.outlet.connected = False
        self.partial(b"a")
        self.partial(b"b")
        self.bench.finish()
        self.bench.advance(0.3)
        self.outlet.connected = True
        self.bench.advance(0.1)
        self.assertEqual(self.seen(), ["partial1", "partial2", "result"])

    def test_partials(self) -> None:
        """
        Partial results are numbered, and the final reply says how many.
        """
        self.partial(b"a")
        self.partial(b"b")
        self.bench.finish()
        sent = self.outlet.take()
        self.assertEqual([m.sequence for m in sent], [1, 2, 0])
        self.assertEqual(sent[1].payload, (b"b",))
        self.assertEqual(sent[2].partials, 2)

    def test_go_back(self) -> None:
        """
        Everything from the first one that is not acknowledged is sent again,
        and the final reply after it.
        """
        for frame in (b"a", b"b", b"c"):
            self.partial(frame)
        self.bench.finish()
        self.bench.ack([1, 1, 1])
        self.outlet.take()
        self.bench.advance(4.1)
        self.assertEqual(self.seen(), ["partial2", "partial3", "result"])

    def test_acknowledged_partials(self) -> None:
        """
        All up to the number are forgotten, also if it is too high.
        """
        for frame in (b"a", b"b", b"c"):
            self.partial(frame)
        self.assertEqual(self.outbox.entries, 3)
        self.bench.ack([1, 1, 2])
        self.assertEqual(self.outbox.entries, 1)
        self.bench.ack([1, 1, 99])
        self.assertEqual((self.outbox.entries, self.outbox.size), (0, 0))
        self.outlet.take()
        self.bench.advance(100)
        self.assertEqual(self.seen(), [])

    def test_after_an_acknowledgement(self) -> None:
        """
        What comes after an acknowledged one is sent at once.
        """
        self.partial(b"a")
        self.bench.ack([1, 1, 1])
        self.outlet.take()
        self.partial(b"b")
        self.assertEqual(self.seen(), ["partial2"])

    def test_progress_of_acknowledgements(self) -> None:
        """
        While acknowledgements come nothing is sent again.
        """
        for number in range(1, 11):
            self.partial(b"x")
            self.partial(b"x")
            self.bench.advance(3)
            self.bench.ack([1, 1, number])
        self.assertEqual(self.outbox.resent, 0)

    def test_cancelled(self) -> None:
        """
        Partial results of a cancelled attempt are not sent any more.
        """
        self.partial(b"a")
        self.bench.hear("cancel", part=1, attempt=1)
        self.outlet.take()
        self.partial(b"b")
        self.bench.advance(5)
        self.assertEqual(self.seen(), ["cancelled"])
        self.assertEqual(self.outbox.entries, 1)

    def test_limits(self) -> None:
        """
        There is room up to the number and up to the bytes, and one reply
        always fits.
        """
        for options, frame in (
            ({"max_entries": 2}, b"x"),
            ({"max_bytes": 200}, b"x" * 100),
            ({"max_bytes": 10}, b"x" * 100),
        ):
            bench = Bench(options=options)
            bench.ready()
            bench.deliver(1)
            count = 0
            while bench.core.outbox.fits(len(frame)):
                bench.core.work.partial(bench.outlet.started[0], (frame,), bench.now)
                count += 1
            self.assertIn(count, (1, 2))
            bench.ack([1, 1, 1])
            self.assertTrue(bench.core.outbox.fits(len(frame)))

    def test_progress(self) -> None:
        """
        Progress goes out at once; what comes faster than it is sent is
        replaced, and the latest is not forgotten.
        """
        for value in (b"1", b"2", b"3"):
            self.bench.core.work.progress(self.attempt, Raw(value), self.bench.now)
        self.assertEqual([bytes(m.value) for m in self.outlet.take("progress")], [b"1"])
        self.bench.advance(0.2)
        self.assertEqual([bytes(m.value) for m in self.outlet.take("progress")], [b"3"])
        self.bench.advance(1)
        self.assertEqual(self.outlet.take("progress"), [])

    def test_progress_without_a_socket(self) -> None:
        """
        The latest is sent when that is possible again.
        """
        self.outlet.connected = False
        for value in (b"1", b"2"):
            self.bench.core.work.progress(self.attempt, Raw(value), self.bench.now)
            self.bench.advance(0.5)
        self.outlet.connected = True
        self.bench.advance(0.5)
        self.assertEqual([bytes(m.value) for m in self.outlet.take("progress")], [b"2"])

    def test_progress_after_the_end(self) -> None:
        """
        After the final reply there is no progress.
        """
        for value in (b"1", b"2"):
            self.bench.core.work.progress(self.attempt, Raw(value), self.bench.now)
        self.bench.finish()
        self.bench.core.work.progress(self.attempt, Raw(b"3"), self.bench.now)
        self.outlet.take()
        self.bench.advance(1)
        self.assertEqual(self.seen(), [])

    def test_timers_are_few(self) -> None:
        """
        What is acknowledged leaves nothing behind.
        """
        self.bench.finish()
        self.bench.ack([1, 1])
        for part in range(2, 100):
            self.bench.deliver(part)
            self.bench.finish()
            self.bench.ack([part, 1])
        self.assertEqual(sum(map(len, self.outbox._timers)), 0)
        self.assertEqual((self.outbox.entries, self.outbox.size), (0, 0))
