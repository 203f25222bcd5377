# -*- test-case-name: tests.wire.test_text -*-
"""
JSON as jobroute takes it: UTF-8, not too deep, with errors for people.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

import msgspec
from msgspec import Raw

from jobroute.errors import BadMessage, TooLarge

# Possessive, and one that is not closed goes to the end: never tried twice.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_STEPS = dict.fromkeys(b"[{", 1) | dict.fromkeys(b"]}", -1)
_NO_BRACKETS = bytes(set(range(256)) - set(_STEPS))
_WHERE = re.compile(r"^(?P<what>.*?)(?: - at (?P<where>`[^`]*`(?: in `[^`]*`)?))?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>[^`]*)`$")
_EXPECTED = re.compile(
    r"^Expected `(?P<kinds>[^`]*)`(?P<rest>(?! matching)[^`]*?)(?:, got `(?P<got>[^`]*)`)?$"
)
_PATTERN = re.compile(r"^Expected `str` matching regex")
_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "a boolean",
    "array": "a list",
    "object": "an object",
    "null": "null",
}

_value = msgspec.json.Decoder()

#: No duration has so many seconds.
YEAR = 31_536_000

#: 1 to 128 characters, the first a letter or digit.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"

#: The same for people.
NAME_MEANS = "1 to 128 letters, digits, dots, underscores and hyphens, the first a letter or digit"


def check(text: bytes, depth: int) -> None:
    """
    Check what a decoder that skips values would not see.

    @raise BadMessage: if it is not UTF-8.
    @raise TooLarge: if it is nested deeper than C{depth} levels.
    """
    try:
        str(text, "utf-8")
    except UnicodeDecodeError as e:
        raise BadMessage("The JSON is not UTF-8.") from e
    # Only a text with that many brackets can be that deep; most have few.
    if text.count(b"[") + text.count(b"{") > depth and _depth(text) > depth:
        raise TooLarge(f"The JSON is nested deeper than {depth} levels.")


def _depth(text: bytes) -> int:
    brackets = _STRINGS.sub(b"", text).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def sentence(error: Exception) -> str:
    """
    What msgspec says, as a sentence that names the member.
    """
    match = _WHERE.match(str(error))
    assert match is not None
    what = match["what"]
    where = (match["where"] or "").replace("`", "").replace("key in", "a key of")
    where = where.replace("$.", "").removeprefix("$").replace("[...]", "")
    for pattern, text in ((_MISSING, "is missing"), (_UNKNOWN, "is not known here")):
        found = pattern.match(what)
        if found:
            return f"{where + '.' if where else ''}{found['name']} {text}."
    subject = where or "The JSON"
    expected = _EXPECTED.match(what)
    if expected:
        said = f"{subject} must be {_kinds(expected['kinds'])}{expected['rest']}"
        got = {"float": "a decimal number"}.get(expected["got"], _kinds(expected["got"] or ""))
        return f"{said}, not {got}." if got else f"{said}."
    if _PATTERN.match(what):
        return f"{subject} must be a name: {NAME_MEANS}."
    what = what.removeprefix("JSON is malformed: ").replace("`", "")
    if isinstance(error, msgspec.ValidationError) and not where:
        # Of several members together.
        return f"{what[:1].upper()}{what[1:]}."
    return f"{where or 'The JSON is wrong'}: {what[:1].lower()}{what[1:]}."


def _kinds(kinds: str) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))


def check_value(text: bytes | Raw) -> None:
    """
    Check a JSON value that others are given as it came: that they can read
    it.

    @raise BadMessage: if its numbers are out of range.
    """
    try:
        _value.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise BadMessage(sentence(e)) from e


def decode(decoder: msgspec.json.Decoder[Any], text: bytes, limit: int, depth: int) -> Any:
    """
    Decode one JSON text.

    @raise BadMessage: if it is no JSON, or not what the decoder wants.
    @raise TooLarge: if it has more than C{limit} bytes, or is too deep.
    """
    if len(text) > limit:
        raise TooLarge(f"The JSON has {len(text)} bytes, and {limit} is the limit.")
    check(text, depth)
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise BadMessage(sentence(e)) from e
