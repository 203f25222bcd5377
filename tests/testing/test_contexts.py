"""
Tests of L{jobroute.testing.contexts}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import Context
from jobroute.errors import Cancelled
from jobroute.testing import context


class ContextTests(SynchronousTestCase):
    """
    A function by itself.
    """

    def test_attributes(self) -> None:
        """
        It is a real context, with what the test says.
        """
        given = context(b"a", b"b", header={"x": 1}, job="j", index=2, attempt=3, run_limit=4.0)
        self.assertIsInstance(given, Context)
        self.assertEqual((given.frames, given.header), ((b"a", b"b"), {"x": 1}))
        self.assertEqual((given.job, given.index, given.attempt), ("j", 2, 3))
        self.assertEqual(given.run_limit, 4.0)

    def test_said(self) -> None:
        """
        What the function says is kept.
        """
        given = context()
        given.progress({"done": 1})
        self.successResultOf(given.partial(b"x", "y"))
        self.assertEqual((given.progresses, given.partials), ([{"done": 1}], [(b"x", b"y")]))

    def test_cancelled(self) -> None:
        """
        It can be cancelled, and then says so.
        """
        given = context()
        given.check()
        given.cancel()
        self.assertRaises(Cancelled, given.check)

    def test_inputs(self) -> None:
        """
        It can be given inputs.
        """
        given = context()

        async def echo(context: Any) -> Any:
            return await context.inputs.get()

        waiting = Deferred.fromCoroutine(echo(given))
        self.assertNoResult(waiting)
        given.inputs.put((b"more",))
        self.assertEqual(self.successResultOf(waiting), (b"more",))
