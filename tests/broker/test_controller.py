"""
Tests of L{jobroute.broker.controller}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.broker.commands.base import LATER, Command
from jobroute.errors import NoSuchAgent
from jobroute.interfaces import Caller, IController, IReplyTo
from jobroute.model import Frames
from tests.broker.kit import Kit, Reply


class Example(Command):
    """
    Do what the test says.
    """

    name = "EXAMPLE"

    def __init__(self) -> None:
        self.does: Any = None

    def execute(self, properties: Any, payload: Frames, caller: Caller, reply_to: IReplyTo) -> Any:
        """
        See L{Command.execute}.
        """
        return self.does()


class ControllerTests(SynchronousTestCase):
    """
    Each request has one answer.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.example = Example()
        self.kit.broker.registry.register(self.example)

    def ask(self, does: Any) -> Reply:
        """
        Let the command do this.
        """
        self.example.does = does
        return self.kit.ask("EXAMPLE")

    def test_interface(self) -> None:
        """
        It provides L{IController}.
        """
        self.assertTrue(verifyObject(IController, self.kit.broker.controller))

    def test_result(self) -> None:
        """
        A result, now or later.
        """
        self.assertEqual(self.ask(lambda: [1]).result, [1])
        waiting: Deferred[Any] = Deferred()
        reply = self.ask(lambda: waiting)
        self.assertEqual(reply.answers, [])
        waiting.callback({"a": 1})
        self.assertEqual(reply.result, {"a": 1})

    def test_later(self) -> None:
        """
        Somebody else answers.
        """
        waiting: Deferred[Any] = Deferred()
        replies = [self.ask(lambda: LATER), self.ask(lambda: waiting)]
        waiting.callback(LATER)
        self.assertEqual([r.answers for r in replies], [[], []])

    def test_refused(self) -> None:
        """
        An error of ours is the answer.
        """

        def refuse() -> None:
            raise NoSuchAgent("There is none.")

        waiting: Deferred[Any] = Deferred()
        replies = [self.ask(refuse), self.ask(lambda: waiting)]
        waiting.errback(NoSuchAgent("There is none."))
        self.assertEqual([r.text for r in replies], ["There is none."] * 2)

    def test_bug(self) -> None:
        """
        Any other is a bug: it is logged, and the answer names the entry.
        """
        waiting: Deferred[Any] = Deferred()
        replies = [self.ask(lambda: 1 // 0), self.ask(lambda: waiting)]
        waiting.errback(ZeroDivisionError())
        self.assertEqual([r.code for r in replies], ["internal-error"] * 2)
        self.assertIn("bug 2", replies[1].text)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
