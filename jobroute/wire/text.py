# -*- test-case-name: tests.wire.test_text -*-
"""
JSON as jobroute takes it: UTF-8, not too deep, with errors for people.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from jobroute.errors import BadMessage, TooLarge

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<where>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>[^`]*)`$")

#: 1 to 128 characters, the first a letter or digit.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"


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
    deepest = level = 0
    for byte in _STRINGS.sub(b"", text):
        if byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest


def sentence(error: Exception) -> str:
    """
    What msgspec says, as a sentence that begins with the member's name.
    """
    match = _WHERE.match(str(error))
    assert match is not None
    what, where = match["what"], (match["where"] or "$").removeprefix("$").lstrip(".")
    for pattern, text in ((_MISSING, "is missing"), (_UNKNOWN, "is not known here")):
        found = pattern.match(what)
        if found:
            return f"{where + '.' if where else ''}{found['name']} {text}."
    what = what.replace("`", "")
    what = what[:1].lower() + what[1:]
    return f"{where}: {what}." if where else f"The JSON is wrong: {what}."


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
