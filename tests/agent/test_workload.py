"""
Tests of what an agent does with what it is given.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.attempts import Stage
from jobroute.model import Advice
from tests.agent.support import Bench


class WorkloadTests(SynchronousTestCase):
    """
    Attempts that are delivered, cancelled, acknowledged, and end.
    """

    def setUp(self) -> None:
        """
        Make an agent with two slots that prefetches three.
        """
        self.bench = Bench(slots=2, prefetch=3)
        self.bench.ready()
        self.outlet = self.bench.outlet
        self.work = self.bench.core.work

    def test_result(self) -> None:
        """
        An attempt is started at once, and its result sent, held, and
        forgotten when it is acknowledged.
        """
        self.bench.deliver(5, 2, header={"a": 1}, run_limit=3.0)
        [attempt] = self.outlet.started
        self.assertEqual(attempt.delivery.header, b'{"a":1}')
        self.assertEqual(attempt.delivery.payload, (b"payload",))
        self.assertEqual(self.work.held, [(5, 2)])
        self.bench.finish()
        [result] = self.outlet.take()
        self.assertEqual((result.message, result.part, result.attempt), ("result", 5, 2))
        self.assertEqual((result.payload, result.partials), ((b"done",), 0))
        self.assertEqual(self.work.held, [(5, 2)])
        self.assertEqual((self.work.idle, self.work.settled), (True, False))
        self.bench.ack([5, 2])
        self.assertTrue(self.work.settled)
        self.assertEqual((self.bench.core.outbox.entries, self.bench.core.outbox.size), (0, 0))

    def test_failure_and_refusal(self) -> None:
        """
        Their reasons are sent.
        """
        for part, kind in ((1, "failure"), (2, "refused"), (3, "lost")):
            self.bench.deliver(part)
            self.bench.finish(kind=kind, reason="why")
            [reply] = self.outlet.take()
            self.assertEqual((reply.message, reply.reason), (kind, "why"))
            self.assertEqual((reply.retry, reply.retry_after), (True, None))

    def test_advice(self) -> None:
        """
        So is what the function says of another attempt.
        """
        for part, advice in ((1, Advice(False)), (2, Advice(True, 5.0)), (3, Advice())):
            self.bench.deliver(part)
            self.bench.finish(kind="failure", reason="why", advice=advice)
            [reply] = self.outlet.take()
            self.assertEqual((reply.retry, reply.retry_after), (advice.retry, advice.after))

    def test_acknowledged_with_another_message(self) -> None:
        """
        Acknowledgements may come with anything.
        """
        self.bench.deliver(1)
        self.bench.finish()
        self.bench.deliver(2, ack=[[1, 1]])
        self.assertEqual(self.work.held, [(2, 1)])

    def test_prefetch(self) -> None:
        """
        No more is begun than there are slots; what begins later is said to
        have started, and what begins at once is not.
        """
        for part in range(1, 6):
            self.bench.deliver(part)
        self.assertEqual(len(self.outlet.started), 2)
        self.assertEqual(self.outlet.said(), [])
        self.bench.finish(0)
        self.assertEqual([m.part for m in self.outlet.take("started")], [3])
        self.assertEqual(len(self.work.held), 5)

    def test_functions_that_return_at_once(self) -> None:
        """
        A thousand that end inside their start don't exhaust the stack.
        """
        bench = Bench(slots=1, prefetch=999)
        bench.ready()
        outlet, work = bench.outlet, bench.core.work
        for part in range(1, 1001):
            bench.deliver(part)
        outlet.on_start = lambda attempt: bench.finish()
        bench.finish()
        self.assertEqual((len(outlet.started), work.running), (1000, 0))

    def test_delivered_twice(self) -> None:
        """
        An attempt that runs is not begun again; of one that is done the
        result is said again.
        """
        self.bench.deliver(1)
        self.bench.deliver(1)
        self.assertEqual((len(self.outlet.started), self.outlet.said()), (1, []))
        self.bench.finish()
        self.bench.deliver(1)
        self.assertEqual(self.outlet.said(), ["result", "result"])
        self.assertEqual(len(self.outlet.started), 1)

    def test_delivered_after_its_acknowledgement(self) -> None:
        """
        Nor is one that is over and forgotten: it is answered, not done.
        """
        self.bench.deliver(1)
        self.bench.finish()
        self.bench.ack([1, 1])
        self.outlet.take()
        self.bench.deliver(1)
        self.assertEqual((len(self.outlet.started), self.outlet.said()), (1, ["failure"]))

    def test_next_attempt(self) -> None:
        """
        Another attempt at the same part is another piece of work.
        """
        self.bench.deliver(1, 1)
        self.bench.deliver(1, 2)
        self.assertEqual(self.work.held, [(1, 1), (1, 2)])

    def test_numbers_begin_again(self) -> None:
        """
        A broker without its store gives old numbers to new jobs: they are
        done, and what they meant before is stopped and never answered.
        """
        self.bench.deliver(1)
        self.bench.deliver(2)
        self.bench.finish()
        self.bench.ack([2, 1])
        self.outlet.take()
        self.bench.hear("reregister", epoch=1)
        self.bench.welcome(epoch=1)
        self.bench.deliver(1, job="new")
        self.bench.deliver(2)
        self.assertEqual(self.outlet.cancelled, self.outlet.started[:1])
        self.bench.finish(0)
        self.assertEqual(self.outlet.said(), ["started"])
        self.assertEqual([a.delivery.job for a in self.outlet.started[2:]], ["new", "j2"])

    def test_unknown_service(self) -> None:
        """
        What the agent does not offer is refused.
        """
        self.bench.deliver(1, service="other")
        [reply] = self.outlet.take()
        self.assertEqual(
            (reply.message, reply.reason), ("refused", "This agent does not offer other.")
        )

    def test_cancel_at_once(self) -> None:
        """
        A function that stops when it is told is C{cancelled}, once.
        """
        self.bench.deliver(1)
        self.outlet.on_cancel = lambda attempt: self.bench.finish(kind="cancelled")
        self.bench.hear("cancel", part=1, attempt=1)
        [reply] = self.outlet.take()
        self.assertEqual((reply.message, reply.running), ("cancelled", False))
        self.assertEqual(self.work.running, 0)

    def test_cancel_of_one_that_goes_on(self) -> None:
        """
        A function that cannot be stopped is C{cancelled} at once all the
        same; its slot is taken until it returns, and then C{released}.
        """
        self.bench.deliver(1)
        self.bench.deliver(2)
        self.bench.deliver(3)
        self.bench.hear("cancel", part=1, attempt=1)
        [reply] = self.outlet.take()
        self.assertEqual((reply.message, reply.running), ("cancelled", True))
        self.bench.ack([1, 1])
        self.assertEqual((self.work.running, self.work.held), (2, [(1, 1), (2, 1), (3, 1)]))
        self.bench.hear("cancel", part=1, attempt=1)
        self.assertEqual([m.running for m in self.outlet.take("cancelled")], [True])
        self.bench.finish(0)
        self.assertEqual(self.outlet.said(), ["released", "started"])
        self.assertEqual(self.work.held, [(2, 1), (3, 1)])

    def test_released_before_the_acknowledgement(self) -> None:
        """
        If it returns before C{cancelled} was acknowledged, that is said
        again without claiming the slot.
        """
        self.bench.deliver(1)
        self.bench.hear("cancel", part=1, attempt=1)
        self.bench.finish()
        self.assertEqual(self.outlet.said(), ["cancelled", "released"])
        self.bench.advance(5)
        [again] = self.outlet.take("cancelled")
        self.assertFalse(again.running)
        self.bench.ack([1, 1])
        self.assertTrue(self.work.settled)

    def test_cancel_of_waiting(self) -> None:
        """
        What has not begun never does.
        """
        for part in (1, 2, 3):
            self.bench.deliver(part)
        self.bench.hear("cancel", part=3, attempt=1)
        self.assertEqual(self.outlet.said(), ["cancelled"])
        self.bench.finish(0)
        self.assertEqual(len(self.outlet.started), 2)

    def test_cancel_of_unknown(self) -> None:
        """
        What is not held is stopped already.
        """
        self.bench.hear("cancel", part=9, attempt=1)
        [reply] = self.outlet.take()
        self.assertEqual((reply.message, reply.part, reply.attempt), ("cancelled", 9, 1))
        self.assertEqual(self.work.held, [])

    def test_cancel_crosses_the_result(self) -> None:
        """
        A result that is on its way is not said twice because of it.
        """
        self.bench.deliver(1)
        self.bench.finish()
        self.bench.hear("cancel", part=1, attempt=1)
        self.assertEqual(self.outlet.said(), ["result"])

    def test_dropped(self) -> None:
        """
        The broker acknowledges what it does not know: work on it stops, and
        nobody is told how it ended.
        """
        self.bench.deliver(1)
        self.bench.ack([1, 1])
        self.assertEqual(self.outlet.cancelled, self.outlet.started)
        self.assertEqual((self.work.held, self.work.running), ([], 1))
        self.bench.finish()
        self.assertEqual((self.outlet.said(), self.work.running), ([], 0))

    def test_input(self) -> None:
        """
        Inputs reach what runs, and nothing else.
        """
        self.bench.deliver(1)
        self.bench.hear("input", (b"in",), part=1, attempt=1)
        self.bench.hear("input", (b"in",), part=1, attempt=2)
        self.bench.finish()
        self.bench.hear("input", (b"late",), part=1, attempt=1)
        self.assertEqual(self.outlet.inputs, [((1, 1), (b"in",))])

    def test_end_is_counted_once(self) -> None:
        """
        A function that comes to its end twice did so once.
        """
        self.bench.deliver(1)
        self.bench.finish()
        self.bench.finish(kind="failure")
        self.assertEqual((self.outlet.said(), self.work.running), (["result"], 0))

    def test_no_room(self) -> None:
        """
        While the outbox is full nothing new begins, and nothing is lost.
        """
        bench = Bench(options={"max_entries": 2})
        bench.ready()
        for part in (1, 2, 3):
            bench.deliver(part)
            if part < 3:
                bench.finish()
        self.assertEqual(len(bench.outlet.started), 2)
        bench.ack([1, 1])
        self.assertEqual(len(bench.outlet.started), 3)

    def test_stop_when_away(self) -> None:
        """
        An agent that is told so stops its work when the leases are over,
        says that it failed, and begins nothing until the broker is back.
        """
        bench = Bench(slots=1, prefetch=1, options={"stop_when_away": True})
        bench.ready()
        bench.deliver(1)
        bench.deliver(2)
        bench.advance(11, hear=False)
        self.assertEqual(bench.outlet.cancelled, bench.outlet.started)
        bench.finish(kind="cancelled")
        self.assertEqual(len(bench.outlet.started), 1)
        bench.outlet.sent.clear()
        bench.hear("pong", epoch=3)
        [failure] = bench.outlet.take("failure")
        self.assertEqual(failure.part, 1)
        bench.advance(0.1)
        self.assertEqual(len(bench.outlet.started), 2)

    def test_works_on_when_away(self) -> None:
        """
        Any other works on, and holds what it has.
        """
        self.bench.deliver(1)
        self.bench.advance(100, hear=False)
        self.assertIs(self.outlet.started[0].stage, Stage.RUNNING)
        self.outlet.sent.clear()
        self.bench.finish()
        self.assertEqual(self.outlet.said(), [])
        self.bench.advance(3, hear=False)
        self.assertEqual(self.outlet.sent[-1].held, [(1, 1)])
