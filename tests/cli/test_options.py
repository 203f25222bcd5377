"""
Tests of L{jobroute.cli.options}: what can be said, and what cannot.
"""

from __future__ import annotations

import io
from typing import Any

import click
from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli import options


class ValueTests(SynchronousTestCase):
    """
    Durations, names, headers and addresses.
    """

    def setUp(self) -> None:
        """
        The functions want to know for which option they are asked.
        """
        self.option = click.Option(["--it"])
        self.context = click.Context(click.Command("it"))

    def read(self, function: Any, value: Any) -> Any:
        """
        Read a value.
        """
        return function(self.context, self.option, value)

    def refused(self, function: Any, value: Any) -> str:
        """
        The sentence that says why a value is wrong.
        """
        error = self.assertRaises(click.BadParameter, self.read, function, value)
        return str(error.message)

    def test_durations(self) -> None:
        """
        Seconds, or a number with a unit.
        """
        given = {"30": 30, "30s": 30, "5m": 300, "2h": 7200, "1.5h": 5400, ".5": 0.5, "1d": 86400}
        for text, seconds in given.items():
            self.assertEqual(self.read(options.duration, text), seconds)
        self.assertAlmostEqual(self.read(options.duration, "200ms"), 0.2)
        self.assertIsNone(self.read(options.duration, None))

    def test_no_durations(self) -> None:
        """
        All else is refused, and so are nothing at all and a year.
        """
        for text in ("", "x", "5x", "-1", "1h30m", "nan", "inf", "1e3", "s"):
            self.assertIn("is no duration", self.refused(options.duration, text))
        for text in ("0", "0s", "365d"):
            self.assertIn("must be positive and under a year", self.refused(options.duration, text))

    def test_sizes(self) -> None:
        """
        Bytes, or a number with a unit.
        """
        given = {"1": 1, "1000b": 1000, "2k": 2048, "512MiB": 512 << 20, "3 GB": 3 << 30}
        for text, size in given.items():
            self.assertEqual(self.read(options.size, text), size)
        self.assertIsNone(self.read(options.size, None))
        for text in ("", "x", "0", "0MiB", "-1", "1.5G", "1i", "MiB", "9" * 16):
            self.assertIn("is no size", self.refused(options.size, text))

    def test_names(self) -> None:
        """
        A name is as the protocol says, and each of several is looked at.
        """
        self.assertEqual(self.read(options.name, "a-1"), "a-1")
        self.assertEqual(self.read(options.name, ("a", "b")), ("a", "b"))
        self.assertIsNone(self.read(options.name, None))
        self.assertIn("must be 1 to 128", self.refused(options.name, ("a", "no name")))

    def test_headers(self) -> None:
        """
        A header is JSON.
        """
        self.assertEqual(self.read(options.header, '{"a": [1, null]}'), {"a": [1, None]})
        self.assertIsNone(self.read(options.header, None))
        self.assertIn("is no JSON", self.refused(options.header, "text"))
        self.assertIn("is no JSON", self.refused(options.header, "[" * 100_000))
        self.assertIn("nan", self.refused(options.header, "NaN"))
        self.assertIn("deeper", self.refused(options.header, "[" * 100 + "]" * 100))

    def test_urls(self) -> None:
        """
        An address is one that a client can connect to.
        """
        self.assertEqual(self.read(options.url, "tcp://127.0.0.1:7780"), "tcp://127.0.0.1:7780")
        self.assertIn("none for ZeroMQ", self.refused(options.url, "localhost"))
        self.assertIn("no host and port", self.refused(options.url, "tcp://*:7780"))


class TargetTests(SynchronousTestCase):
    """
    Who does a job.
    """

    def test_targets(self) -> None:
        """
        As the client takes them.
        """
        self.assertEqual(options.target(False, (), None), "any")
        self.assertEqual(options.target(True, (), None), "all")
        self.assertEqual(options.target(False, (), 3), {"count": 3})
        self.assertEqual(options.target(False, ("a", "b"), None), {"agents": ["a", "b"]})
        self.assertEqual(options.target(False, ("a", "b"), 1), {"agents": ["a", "b"], "count": 1})

    def test_contradictions(self) -> None:
        """
        What makes no sense is said at once.
        """
        for given in ((True, ("a",), None), (True, (), 2), (False, ("a", "a"), None)):
            self.assertRaises(click.UsageError, options.target, *given)
        self.assertRaises(click.UsageError, options.target, False, ("a",), 2)


class FrameTests(SynchronousTestCase):
    """
    The payload.
    """

    def test_arguments_and_files(self) -> None:
        """
        A frame for each argument, then one for each file; bytes that are no
        text come through.
        """
        found = options.frames(("a", "", "\udcff"), (io.BytesIO(b"f"),))
        self.assertEqual(found, (b"a", b"", b"\xff", b"f"))

    def test_input_once(self) -> None:
        """
        What comes in can be read once.
        """
        self.assertRaises(click.UsageError, options.frames, ("-", "-"), ())
