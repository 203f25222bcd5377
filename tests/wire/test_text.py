"""
Tests of L{jobroute.wire.text}.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import BadMessage, TooLarge
from jobroute.wire import text
from tests.wire.strategies import EVIL, FRAME, VALUES, jsons


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """
    Something in something.
    """

    count: Annotated[int, Meta(ge=1)] = 1


class Example(msgspec.Struct, forbid_unknown_fields=True):
    """
    One of each.
    """

    name: Annotated[str, Meta(pattern=text.NAME)]
    size: Annotated[float, Meta(gt=0)] = 1.0
    many: list[Inner] = []
    labels: dict[Annotated[str, Meta(pattern=text.NAME)], str] = {}
    kind: Literal["a", "b"] = "a"
    flag: bool | None = None

    def __post_init__(self) -> None:
        if self.name == "two" and self.kind == "b":
            raise ValueError("either name or kind must be given")


_example = msgspec.json.Decoder(Example)
_any = msgspec.json.Decoder()


def naive_depth(value: Any) -> int:
    """
    How deep a value is.
    """
    if isinstance(value, dict):
        return 1 + max(map(naive_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(naive_depth, value), default=0)
    return 0


class DecodeTests(SynchronousTestCase):
    """
    JSON is decoded or refused.
    """

    def test_size(self) -> None:
        """
        At the limit, and one past it.
        """
        self.assertEqual(text.decode(_any, b"[1]", 3, 4), [1])
        error = self.assertRaises(TooLarge, text.decode, _any, b"[12]", 3, 4)
        self.assertEqual(str(error), "The JSON has 4 bytes, and 3 is the limit.")

    def test_depth(self) -> None:
        """
        At the limit, and one past it; brackets in texts don't count.
        """
        for deep in (
            "[" * 5 + "]" * 5,
            '{"a":' * 5 + "1" + "}" * 5,
            "[" * 4 + '{"[": "[{"}' + "]" * 4,
        ):
            data = deep.encode()
            self.assertTrue(text.decode(_any, data, 1000, 5))
            error = self.assertRaises(TooLarge, text.decode, _any, data, 1000, 4)
            self.assertEqual(str(error), "The JSON is nested deeper than 4 levels.")
        flat = b'["[[[[[[[[", "\\"[[[[[[[[", [], [], [], [], [], []]'
        self.assertEqual(len(text.decode(_any, flat, 1000, 2)), 8)

    def test_utf8(self) -> None:
        """
        What is not UTF-8 is refused also where nobody looks.
        """
        decoder = msgspec.json.Decoder(Inner)
        for data in (b'"\xff"', b'{"count": 1}\xff', b'{"x": "\xed\xa0\x80"}'):
            error = self.assertRaises(BadMessage, text.decode, decoder, data, 1000, 5)
            self.assertEqual(str(error), "The JSON is not UTF-8.")

    def test_numbers(self) -> None:
        """
        Numbers out of range, and what is no number.
        """
        for data in (b"1e999", b"NaN", b"-Infinity", b"01", b"1.", b"+1", b"0x1"):
            self.assertRaises(BadMessage, text.decode, _any, data, 1000, 5)
            self.assertRaises(BadMessage, text.check_value, b"[" + data + b"]")
        text.check_value(b'[1e308, -0.5, "NaN"]')

    def test_hostile(self) -> None:
        """
        A text that is made to be slow is refused in time: a megabyte of
        quotes that are escaped and never closed, behind enough brackets to be
        looked at.
        """
        data = b"[" * 70 + b'"' + b'\\"' * 500_000
        self.assertRaises(TooLarge, text.decode, _any, data, 2**21, 64)
        data = b"[" + b'"\\\\",' * 200_000 + b"[]" * 100
        self.assertRaises(BadMessage, text.decode, _any, data, 2**21, 64)

    @settings(max_examples=100, deadline=None)
    @given(VALUES, st.integers(0, 5))
    def test_depth_is_counted(self, value: Any, limit: int) -> None:
        """
        The depth is what a look at the value says.
        """
        data = json.dumps(value).encode()
        try:
            text.check(data, limit)
        except TooLarge:
            self.assertGreater(naive_depth(value), limit)
        else:
            self.assertLessEqual(naive_depth(value), limit)

    @settings(max_examples=150, deadline=None)
    @given(FRAME | EVIL | jsons())
    def test_anything(self, data: bytes) -> None:
        """
        Any bytes at all are decoded, or refused with C{BadMessage} and one
        sentence.
        """
        for decoder in (_any, _example):
            try:
                text.decode(decoder, data, 4000, 64)
            except BadMessage as e:
                self.assertTrue(str(e).endswith("."), str(e))


class SentenceTests(SynchronousTestCase):
    """
    What is wrong is said in one sentence that begins with where.
    """

    def test_sentences(self) -> None:
        """
        Each kind of error.
        """
        name = f"must be a name: {text.NAME_MEANS}."
        for data, said in (
            ("{}", "name is missing."),
            ('{"name": "a", "nmae": 1}', "nmae is not known here."),
            ('{"name": "a", "many": [{}, {"cuont": 1}]}', "many[1].cuont is not known here."),
            ('{"name": 1}', "name must be text, not a whole number."),
            ('{"name": "~"}', "name " + name),
            ('{"name": "a", "size": "1"}', "size must be a number, not text."),
            ('{"name": "a", "size": true}', "size must be a number, not a boolean."),
            ('{"name": "a", "size": 0}', "size must be a number > 0.0."),
            ('{"name": "a", "size": 1e999}', "size: number out of range."),
            ('{"name": "a", "many": {}}', "many must be a list, not an object."),
            ('{"name": "a", "many": [{"count": 0}]}', "many[0].count must be a whole number >= 1."),
            (
                '{"name": "a", "many": [{"count": 1.5}]}',
                "many[0].count must be a whole number, not a decimal number.",
            ),
            ('{"name": "a", "labels": {"~": "x"}}', "a key of labels " + name),
            ('{"name": "a", "labels": {"x": 1}}', "labels must be text, not a whole number."),
            ('{"name": "a", "kind": "c"}', "kind: invalid enum value 'c'."),
            ('{"name": "a", "flag": 1}', "flag must be a boolean or null, not a whole number."),
            ('{"name": "two", "kind": "b"}', "Either name or kind must be given."),
            ("[]", "The JSON must be an object, not a list."),
            ("nul", "The JSON is wrong: input data was truncated."),
            ('{"name": "a"} {}', "The JSON is wrong: trailing characters (byte 15)."),
        ):
            error = self.assertRaises(BadMessage, text.decode, _example, data.encode(), 1000, 9)
            self.assertEqual(str(error), said, data)
