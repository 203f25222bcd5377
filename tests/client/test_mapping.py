"""
Tests for L{jobroute.client.mapping}.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.client.mapping import Mapping
from jobroute.client.outcomes import Outcome, Submitted
from jobroute.client.request import Request
from jobroute.errors import BrokerLost, Congested


class Runner:
    """
    Does the requests of a mapping.
    """

    def __init__(self, payloads: Any, durable: bool = False, **more: Any) -> None:
        self.running: list[Request[Any]] = []
        self.abandoned: list[Request[Any]] = []
        self.submitted = 0
        self.mapping = Mapping(
            iter(payloads), None, self.request, self.second if durable else None, **more
        )
        self.durable = durable

    def request(self, payload: Any) -> Request[Any]:
        """
        The first request of a payload.
        """
        return Request("SUBMIT" if self.durable else "CALL", {"n": payload}, lambda v, f: v)

    def second(self, submitted: Submitted) -> Request[Any]:
        """
        The request after a submission.
        """
        return Request("WAIT", {"n": submitted.number}, lambda v, f: v)

    def begin(self) -> None:
        """
        Begin.
        """
        self.mapping.begin(self.running.append, self.abandoned.append)

    def finish(self, index: int, error: Any = None) -> None:
        """
        One of the running requests has its outcome.
        """
        request = self.running.pop(index)
        number = request.properties["n"]
        request.error = error
        if error is None:
            request.value = (
                Submitted(str(number), number, 1)
                if request.command == "SUBMIT"
                else Outcome(str(number), number, {}, ())
            )
        request.finished(request)


class MappingTests(SynchronousTestCase):
    """
    A bounded number of jobs at a time.
    """

    @settings(deadline=None)
    @given(
        st.integers(0, 30), st.integers(1, 8), st.booleans(), st.booleans(), st.integers(0, 2**32)
    )
    def test_all(self, count: int, window: int, ordered: bool, durable: bool, seed: int) -> None:
        """
        Every payload has one outcome, in order if that was asked for, and no
        more than the window are under way or waiting to be taken.
        """
        random = Random(seed)
        runner = Runner(range(count), durable, window=window, ordered=ordered)
        runner.begin()
        taken: list[Outcome] = []
        finished = 0
        while not runner.mapping.over:
            outcome = runner.mapping.take()
            if outcome is not None:
                taken.append(outcome)
            elif runner.running:
                index = random.randrange(len(runner.running))
                finished += runner.running[index].command != "SUBMIT"
                runner.finish(index)
            self.assertLessEqual(len(runner.running) + finished - len(taken), window)
        positions = [outcome.position for outcome in taken]
        self.assertEqual(positions if ordered else sorted(positions), list(range(count)))
        self.assertEqual([outcome.number for outcome in taken], positions)
        self.assertEqual(runner.abandoned, [])

    def test_error(self) -> None:
        """
        An error comes in its turn, and ends it.
        """
        runner = Runner(range(9), window=3)
        runner.begin()
        runner.finish(1, BrokerLost("Gone."))
        self.assertIsNone(runner.mapping.take())
        runner.finish(0)
        self.assertEqual(getattr(runner.mapping.take(), "position", None), 0)
        self.assertRaises(BrokerLost, runner.mapping.take)
        self.assertTrue(runner.mapping.over)
        self.assertEqual(runner.abandoned, runner.running)
        self.assertIsNone(runner.mapping.take())

    def test_cannot_send(self) -> None:
        """
        So does one from the sending.
        """

        def refuse(request: Request[Any]) -> None:
            raise Congested("Full.")

        runner = Runner(range(2), window=1)
        runner.mapping.begin(refuse, runner.abandoned.append)
        self.assertRaises(Congested, runner.mapping.take)

    def test_bad_payloads(self) -> None:
        """
        What reading the payloads raises comes after what was read.
        """

        def payloads() -> Any:
            yield 0
            raise ZeroDivisionError

        runner = Runner(payloads(), window=5)
        runner.begin()
        self.assertIsNone(runner.mapping.take())
        runner.finish(0)
        self.assertIsNotNone(runner.mapping.take())
        self.assertRaises(ZeroDivisionError, runner.mapping.take)

    def test_late(self) -> None:
        """
        What ends after the close changes nothing.
        """
        runner = Runner(range(3), durable=True, window=3)
        runner.begin()
        runner.mapping.close()
        runner.mapping.close()
        self.assertEqual(len(runner.abandoned), 3)
        runner.finish(0)
        self.assertEqual(len(runner.running), 2)
        self.assertIsNone(runner.mapping.take())
