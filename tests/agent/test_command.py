"""
Tests of C{jobroute agent}: what it is told, and the process with a real
broker and real sockets.
"""

from __future__ import annotations

import io
import json
import os

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.command import REFUSED, UNFINISHED, USAGE, parse_labels, parse_services, run
from jobroute.errors import ConfigurationError
from tests.agent.live import LiveCase, reactor


class OptionsTests(SynchronousTestCase):
    """
    What the command is told.
    """

    def test_services(self) -> None:
        """
        A service has a name of its own, or its function's.
        """
        found = parse_services(
            ["e=jobroute.agent.builtin:echo", "jobroute.agent.builtin:sleep", "builtins:len"]
        )
        self.assertEqual(
            found,
            {
                "e": "jobroute.agent.builtin:echo",
                "sleep": "jobroute.agent.builtin:sleep",
                "len": "builtins:len",
            },
        )

    def test_wrong_services(self) -> None:
        """
        What is no service is refused.
        """
        for services in ([], ["e=nowhere:f"], ["e="], ["len"], ["e=zlib:crc32", "e=zlib:adler32"]):
            self.assertRaises(ConfigurationError, parse_services, services)

    def test_labels(self) -> None:
        """
        A label has a key and a value.
        """
        self.assertEqual(parse_labels(["rack=7", "x=a=b"]), {"rack": "7", "x": "a=b"})
        for labels in (["rack"], ["a=1", "a=2"]):
            self.assertRaises(ConfigurationError, parse_labels, labels)

    def test_usage(self) -> None:
        """
        What is wrong is one sentence and an exit status, before anything is
        started.
        """
        for options in ({}, {"services": ["builtins:len"], "log_level": "loud"}):
            stderr = io.StringIO()
            self.assertEqual(run(stderr=stderr, **options), USAGE)  # type: ignore[arg-type]
            self.assertEqual(stderr.getvalue().count("\n"), 1)


class ProcessTests(LiveCase):
    """
    A broker in this process, and agents in others.
    """

    async def test_life(self) -> None:
        """
        An agent with services in reactor and threads, also of a module in
        its folder, serves until a signal comes; then it finishes what it has
        and ends well.
        """
        await self.begin()
        module = os.path.join(self.folder, "mine.py")
        with open(module, "w", encoding="utf-8") as file:
            file.write(
                "def shout(payload, context):\n"
                "    context.partial(b'p')\n"
                "    context.progress(1)\n"
                "    return payload.upper()\n"
            )
        agent = self.spawn(
            services=["shout=mine:shout", "jobroute.agent.builtin:sleep"], labels=["rack=7"]
        )
        answer, frames = await self.ask("CALL", b"hello", service="shout")
        self.assertEqual((answer["result"]["verdicts"], frames), ({"succeeded": 1}, [b"HELLO"]))
        answer, _ = await self.ask("LIST")
        self.assertEqual(answer["result"]["a1"]["labels"], {"rack": "7"})
        number = self.client.ask("CALL", b"0.5", service="sleep")
        await deferLater(reactor, 0.1)
        agent.transport.signalProcess("TERM")  # type: ignore[union-attr]
        self.assertEqual(await agent.ended, 0)
        found = self.client.final(number)
        assert found is not None
        self.assertEqual(found[1], [b"0.5"])
        self.assertNotIn(b"Traceback", agent.errors)
        answer, _ = await self.ask("LIST")
        self.assertEqual(answer["result"], {})

    async def test_second_signal(self) -> None:
        """
        The second signal ends it at once, also when a thread never returns.
        """
        await self.begin()
        agent = self.spawn(services=["sleep=time:sleep", "block=threading:Event.wait", "f=mine:f"])
        self.assertEqual(await agent.ended, USAGE)
        with open(os.path.join(self.folder, "mine.py"), "w", encoding="utf-8") as file:
            file.write("import time\ndef f(payload): time.sleep(600)\n")
        agent = self.spawn(services=["mine:f"])
        answer, _ = await self.ask("SUBMIT", service="f", job="j")
        self.assertNotIn("error", answer)
        while json.dumps(await self.ask("LIST")).count('"outstanding": 1') == 0:
            await deferLater(reactor, 0.05)
        agent.transport.signalProcess("INT")  # type: ignore[union-attr]
        await deferLater(reactor, 0.3)
        self.assertFalse(agent.ended.called)
        agent.transport.signalProcess("TERM")  # type: ignore[union-attr]
        self.assertEqual(await agent.ended, UNFINISHED)

    async def test_refused(self) -> None:
        """
        An agent that the broker does not take says so in a sentence, and
        ends with a status of its own.
        """
        await self.begin()
        first = self.spawn(services=["builtins:len"])
        await self.ask("CALL", b"x", service="len")
        second = self.spawn(services=["builtins:len"], patience=0.5)
        self.assertEqual(await second.ended, REFUSED)
        self.assertIn(b"does not take agent a1", second.errors)
        first.transport.signalProcess("TERM")  # type: ignore[union-attr]
        self.assertEqual(await first.ended, 0)
