"""
Tests of a child from within; those of its process are in
L{tests.agent.test_processes}.
"""

from __future__ import annotations

import json
import os
import sys
from threading import Thread
from typing import Any

from twisted.logger import globalLogBeginner
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import pipe
from jobroute.agent.child import prepare
from jobroute.agent.childcontext import ChildContext
from jobroute.config import Limits
from jobroute.errors import Busy, Cancelled, TooLarge
from jobroute.log import least_level, set_level

WORK = pipe.Work(1, 2, "j", 0, "s", b'{"a":1}', None, [b"p"])


class ChildContextTests(SynchronousTestCase):
    """
    What a function says, and what it hears.
    """

    def setUp(self) -> None:
        """
        Nothing was said.
        """
        self.said: list[pipe.FromChild] = []
        self.context = ChildContext.of(WORK, Limits(message=5000), self.send)
        self.answer: pipe.Took | None = None

    def send(self, message: pipe.FromChild) -> None:
        """
        As an agent, that answers from another thread.
        """
        self.said.append(message)
        if isinstance(message, pipe.Partial) and self.answer is not None:
            self.answer.number = message.number
            Thread(target=self.context.received, args=(self.answer,)).start()
        elif isinstance(message, pipe.Want):
            Thread(target=self.context.received, args=(pipe.Input([b"i"]),)).start()

    def test_progress(self) -> None:
        """
        One value is on its way at a time, and then the latest.
        """
        for i in range(4):
            self.context.progress(i)
        self.assertEqual(self.said, [pipe.Progress(b"0")])
        self.context.received(pipe.Took(0))
        self.assertEqual(self.said[1:], [pipe.Progress(b"3")])
        self.context.received(pipe.Took(0))
        self.assertEqual(len(self.said), 2)
        self.context.progress(5)
        self.assertEqual(self.said[2:], [pipe.Progress(b"5")])

    def test_partial(self) -> None:
        """
        A partial result waits for its answer, and raises what is wrong.
        """
        for code, error in (("", None), ("busy", Busy), ("cancelled", Cancelled)):
            self.answer = pipe.Took(0, code, "why")
            if error is None:
                self.assertIs(self.context.partial(b"a"), None)
            else:
                self.assertEqual(str(self.assertRaises(error, self.context.partial, b"a")), "why")
        self.assertRaises(TooLarge, self.context.partial, b"x" * 5000)
        self.assertEqual(len(self.said), 3)

    def test_late(self) -> None:
        """
        An answer to what nobody said is nothing.
        """
        self.context.received(pipe.Took(7))
        self.context.received(pipe.Took(0))
        self.assertEqual(self.said, [])

    def test_inputs(self) -> None:
        """
        An input is asked for when it is wanted.
        """
        for _ in range(2):
            self.assertEqual(self.context.inputs.wait(10), (b"i",))
        self.assertEqual(self.said, [pipe.Want()] * 2)
        self.context.cancel()
        self.assertRaises(Cancelled, self.context.inputs.wait)

    def test_log(self) -> None:
        """
        Log entries are made into text here.
        """
        self.context.log.error("{a} and {b!r}", a=1, b={2})
        self.assertEqual(self.said, [pipe.Log("error", "1 and {2}")])


class PrepareTests(SynchronousTestCase):
    """
    A child becomes what its agent wants.
    """

    def test_environment(self) -> None:
        """
        Variables that were only for its start are as they were.
        """
        self.patch(sys, "path", list(sys.path))
        self.addCleanup(set_level, least_level())
        self.patch(os, "environ", {"A": "new", "B": "new"})
        begun: list[Any] = []
        self.patch(globalLogBeginner, "beginLoggingTo", lambda *a, **k: begun.append(a))
        setup = pipe.Setup(
            {"crc": "zlib:crc32"}, [*sys.path, "x"], {"A": "old", "B": None}, 1, 2, 3, 4, "warn"
        )
        (function,) = prepare(setup).values()
        self.assertEqual(os.environ, {"A": "old"})
        self.assertEqual((sys.path[-1], least_level(), len(begun)), ("x", "warn", 1))
        self.assertEqual(json.loads(str(function.perform((b"a",), None))), 3904355907)
