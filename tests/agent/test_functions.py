"""
Tests of what a service function is, and what its outcome becomes.
"""

from __future__ import annotations

import functools
import sys
import zlib
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any, NamedTuple

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.functions import (
    REASON,
    collect,
    describe,
    encode_frames,
    marked_name,
    reason,
    resolve,
    service,
)
from jobroute.errors import ConfigurationError


async def coroutine(payload: bytes) -> None:
    """
    Runs in the reactor.
    """


def annotated(payload: bytes) -> Deferred[None]:
    """
    So does this.
    """
    return Deferred()


@inlineCallbacks
def generator(payload: bytes) -> Generator[Deferred[Any], Any, None]:
    """
    And this.
    """
    yield Deferred()


def plain(payload: bytes) -> None:
    """
    This runs in a thread.
    """


class Callable_:  # noqa: N801
    """
    An object that can be called.
    """

    async def __call__(self, payload: bytes) -> None:
        """
        In the reactor.
        """


class WhereTests(SynchronousTestCase):
    """
    Which functions run in the reactor, and which in threads.
    """

    def test_reactor(self) -> None:
        """
        Whatever is known to return something to wait for, or is said to.
        """
        functions: list[Callable[..., Any]] = [
            coroutine,
            annotated,
            generator,
            Callable_(),
            functools.partial(coroutine),
            service(in_reactor=True)(lambda payload: payload),
        ]
        self.assertEqual([describe("s", f).threaded for f in functions], [False] * 6)

    def test_threads(self) -> None:
        """
        Everything else, or what is said to.
        """
        blocking = service(in_reactor=False)(lambda payload: payload)
        functions: list[Callable[..., Any]] = [
            plain,
            zlib.crc32,
            len,
            blocking,
            functools.partial(plain),
        ]
        self.assertEqual([describe("s", f).threaded for f in functions], [True] * 5)


class SignatureTests(SynchronousTestCase):
    """
    What a function is called with.
    """

    def called(self, function: Callable[..., Any], *frames: bytes) -> Any:
        """
        Call it as an agent does, with a context of "c".
        """
        return describe("s", function).perform(frames, "c")

    def test_payload_only(self) -> None:
        """
        A function of one argument gets the payload.
        """
        self.assertEqual(self.called(lambda payload: payload, b"x"), b"x")
        self.assertEqual(self.called(len, b"xyz"), 3)
        self.assertEqual(self.called(lambda *all: all, b"x"), (b"x",))

    def test_frames(self) -> None:
        """
        A payload that is not one frame is a list of frames.
        """
        self.assertEqual(self.called(lambda payload: payload), [])
        self.assertEqual(self.called(lambda payload: payload, b"x", b"y"), [b"x", b"y"])

    def test_context(self) -> None:
        """
        One of two arguments gets the context too, however it takes it.
        """
        self.assertEqual(self.called(lambda p, c: (p, c), b"x"), (b"x", "c"))
        self.assertEqual(self.called(lambda p, context=None: (p, context), b"x"), (b"x", "c"))
        self.assertEqual(self.called(lambda p, *, context: (p, context), b"x"), (b"x", "c"))

    def test_other_defaults(self) -> None:
        """
        A second argument with a default is left alone if it is no context.
        """
        self.assertEqual(self.called(lambda p, level=9: (p, level), b"x"), (b"x", 9))
        self.assertEqual(zlib.decompress(self.called(zlib.compress, b"x")), b"x")

    def test_cannot_serve(self) -> None:
        """
        What cannot be called like that is found out at once.
        """
        functions: list[Any] = [lambda: 0, lambda a, b, c: 0, lambda a, *, other: 0, 5]
        for function in functions:
            self.assertRaises(ConfigurationError, describe, "s", function)


class NamesTests(SynchronousTestCase):
    """
    Where functions come from.
    """

    def test_resolve(self) -> None:
        """
        A dotted name is a module's function, or a method of its class.
        """
        self.assertIs(resolve("zlib:crc32"), zlib.crc32)
        self.assertEqual(resolve("builtins:bytes.hex")(b"a"), "61")

    def test_cannot_resolve(self) -> None:
        """
        What is wrong is said in a sentence.
        """
        for dotted, word in (
            ("zlib", "module:callable"),
            (":f", "module:callable"),
            ("zlib:", "module:callable"),
            ("no_such_module:f", "no_such_module"),
            ("no..dots:f", "imported"),
            ("zlib:nothing", "nothing"),
            ("zlib:__doc__", "called"),
        ):
            error = self.assertRaises(ConfigurationError, resolve, dotted)
            self.assertIn(word, str(error))

    def test_module_with_a_bug(self) -> None:
        """
        So is a module that fails to be imported.
        """
        path = self.mktemp()
        with open(path + "buggy_services.py", "w", encoding="utf-8") as file:
            file.write("1/0\n")
        folder, _, name = (path + "buggy_services").rpartition("/")
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        error = self.assertRaises(ConfigurationError, resolve, f"{name}:f")
        self.assertIn("ZeroDivisionError", str(error))

    def test_marks(self) -> None:
        """
        Marked functions can be handed in by themselves or by their module.
        """

        @service
        def one(payload: bytes) -> None: ...

        @service("two", in_reactor=True)
        def other(payload: bytes) -> None: ...

        module = ModuleType("services")
        vars(module).update(one=one, other=other, plain=plain, number=5)
        self.assertEqual(list(collect([one, other])), ["one", "two"])
        found = collect([module])
        self.assertEqual(
            [(n, f.threaded) for n, f in found.items()], [("one", True), ("two", False)]
        )
        self.assertEqual([marked_name(f) for f in (one, other, plain)], ["one", "two", "plain"])

    def test_mapping(self) -> None:
        """
        Or any, under names.
        """
        found = collect({"a": len, "b": "zlib:crc32"})
        self.assertEqual([f.call for f in found.values()], [len, zlib.crc32])


class Pair(NamedTuple):
    """
    A tuple that is data.
    """

    left: int
    right: int


@attrs.frozen
class Point:
    """
    A class that JSON can say.
    """

    x: int


class OutcomeTests(SynchronousTestCase):
    """
    What a function returned, as frames.
    """

    def test_values(self) -> None:
        """
        Bytes, text, nothing, tuples of these, and JSON.
        """
        for value, frames in (
            (None, ()),
            (b"x", (b"x",)),
            (bytearray(b"x"), (b"x",)),
            (memoryview(b"x"), (b"x",)),
            ("ä", ("ä".encode(),)),
            ((), ()),
            ((b"x", "y", {"z": 1}, None), (b"x", b"y", b'{"z":1}', b"null")),
            ([b"x", b"y"], (b"x", b"y")),
            ([], (b"[]",)),
            (["x", "y"], (b'["x","y"]',)),
            ({"a": [1, None]}, (b'{"a":[1,null]}',)),
            (5, (b"5",)),
            (True, (b"true",)),
            (Point(3), (b'{"x":3}',)),
            (Pair(1, 2), (b"[1,2]",)),
        ):
            self.assertEqual(encode_frames(value), frames)

    def test_nothing_of_these(self) -> None:
        """
        Anything else is an error that says what it was.
        """
        loop: list[Any] = []
        loop.append(loop)
        for value in (object(), len, {1, object()}, loop, Deferred(), {"a": object()}):
            self.assertRaises(TypeError, encode_frames, value)

    def test_awaitable(self) -> None:
        """
        What a thread cannot wait for is said to be that.
        """
        error = self.assertRaises(TypeError, encode_frames, Deferred())
        self.assertIn("in_reactor", str(error))

    def test_reason(self) -> None:
        """
        A failure's reason is the exception's type and text.
        """
        self.assertEqual(reason(ValueError("no")), "ValueError: no")
        self.assertEqual(reason(ValueError()), "ValueError")

    @given(st.text(st.characters(exclude_categories=())))
    def test_reason_in_bounds(self, text: str) -> None:
        """
        It can always be sent, and is never long.
        """
        said = reason(ValueError(text * 50))
        self.assertLessEqual(len(said), REASON)
        said.encode("utf-8")

    def test_reason_of_the_unspeakable(self) -> None:
        """
        An exception that cannot be said is named.
        """

        class MuteError(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        self.assertEqual(reason(MuteError()), "MuteError")
