# -*- test-case-name: tests.client.test_asking -*-
"""
What a client refuses by itself, before it sends anything.

The limits that are settings of the broker are not known here; those of the
protocol are.
"""

from __future__ import annotations

import math
import re
from typing import Any

from attrs import asdict

from jobroute.config import Limits
from jobroute.errors import BadProperty, TooLarge
from jobroute.model import Frames, Retry, Target
from jobroute.wire.text import NAME

_NAME = re.compile(NAME)
_YEAR = 365 * 86400.0
_DEFAULTS = Limits()

#: Greater messages are refused by a broker that was told nothing else, and far greater ones
#: cut its connection, so that nobody would say so.
MOST_BYTES = _DEFAULTS.message
MOST_FRAMES = _DEFAULTS.frames
MOST_HEADER = _DEFAULTS.header
MOST_JOBS = _DEFAULTS.batch
_DEPTH = _DEFAULTS.depth

_TARGETS = (
    "'any', 'all', a list of agents' names, a number of agents, or a dictionary with 'agents' "
    "and 'count'"
)


def name(what: str, value: Any) -> str:
    """
    Check a name.

    @raise BadProperty: if it is none.
    """
    if not isinstance(value, str) or not _NAME.match(value):
        raise BadProperty(
            f"{what} must be 1 to 128 letters, digits, '.', '_' or '-', the first a letter or "
            f"digit, not {_shown(value)}."
        )
    return value


def duration(what: str, value: Any) -> float | None:
    """
    Check a number of seconds; L{None} is none.

    @raise BadProperty: if it is not positive and under a year.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadProperty(f"{what} must be a number of seconds, not {_shown(value)}.")
    if not 0 < value < _YEAR:
        raise BadProperty(f"{what} must be positive and under a year, not {value} seconds.")
    return value


def whole(what: str, value: Any, least: int, most: int | None = None) -> int:
    """
    Check a whole number.

    @raise BadProperty: if it is none, or too small or large.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadProperty(f"{what} must be a whole number, not {_shown(value)}.")
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise BadProperty(f"{what} must be {bounds}, not {value}.")
    return value


def number(what: str, value: Any, least: float, most: float) -> float:
    """
    Check a number.

    @raise BadProperty: if it is none, or too small or large.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadProperty(f"{what} must be a number, not {_shown(value)}.")
    if not least <= value <= most:
        raise BadProperty(f"{what} must be between {least:g} and {most:g}, not {value}.")
    return value


def retries(value: Any) -> dict[str, Any]:
    """
    Check what is worth another attempt: a L{jobroute.model.Retry}, or a
    dictionary of some of its attributes.

    @return: as the protocol writes it.
    @raise BadProperty: if it is none.
    """
    if isinstance(value, Retry):
        value = asdict(value)
    known = ("on", "delay", "factor", "max_delay", "jitter")
    if not isinstance(value, dict) or not all(key in known for key in value):
        raise BadProperty(
            f"retries must be a Retry or a dictionary of {', '.join(known)}, not {_shown(value)}."
        )
    checked = dict(value)
    if "on" in checked:
        on = checked["on"]
        if not isinstance(on, list | tuple | set | frozenset):
            raise BadProperty(f"retries.on must be a list of verdicts, not {_shown(on)}.")
        worth = ("lost", "failed", "timed_out", "refused")
        checked["on"] = sorted(one_of("retries.on", each, worth) for each in on)
    bounds = {"delay": (0, _YEAR - 1), "factor": (1, 100), "max_delay": (0, _YEAR - 1)}
    for key, (least, most) in {**bounds, "jitter": (0, 1)}.items():
        if key in checked:
            number(f"retries.{key}", checked[key], least, most)
    return checked


def one_of(what: str, value: Any, choices: tuple[str, ...]) -> str:
    """
    Check a choice.

    @raise BadProperty: if it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise BadProperty(f"{what} must be one of {', '.join(choices)}, not {_shown(value)}.")
    return str(value)


def payload(frames: Any) -> Frames:
    """
    Check a payload: one frame, or a sequence of frames.

    @raise BadProperty: if it is neither.
    @raise TooLarge: if it is too much for one message.
    """
    given = (frames,) if isinstance(frames, bytes | bytearray | memoryview) else frames
    if not isinstance(given, list | tuple):
        raise BadProperty(f"payload must be bytes or a list of bytes, not {_shown(frames)}.")
    for frame in given:
        if not isinstance(frame, bytes | bytearray | memoryview):
            raise BadProperty(f"payload must have frames of bytes, not {_shown(frame)}.")
    checked = tuple(bytes(frame) for frame in given)
    # The JSON, the empty frame and the identity are frames too.
    if len(checked) > MOST_FRAMES - 3:
        raise TooLarge(f"The payload has {len(checked)} frames, and {MOST_FRAMES - 3} fit.")
    size = sum(map(len, checked))
    if size > MOST_BYTES:
        raise TooLarge(f"The payload has {size} bytes, and a message may have {MOST_BYTES}.")
    return checked


def target(value: Any) -> tuple[Any, bool]:
    """
    Check a target.

    @return: as the protocol writes it; and whether the job has one part for
        sure.
    @raise BadProperty: if it is none.
    """
    if isinstance(value, Target):
        names, count = value.names, value.count
        if names is None:
            value = "all" if count is None else "any" if count == 1 else count
        else:
            value = {"agents": names} if count is None else {"agents": names, "count": count}
    if isinstance(value, str) and value in ("any", "all"):
        return value, value == "any"
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"count": value}
    elif isinstance(value, list | tuple):
        value = {"agents": value}
    if not isinstance(value, dict) or not value or not value.keys() <= {"agents", "count"}:
        raise BadProperty(f"target must be {_TARGETS}, not {_shown(value)}.")
    checked: dict[str, Any] = {}
    if "agents" in value:
        agents = value["agents"]
        if not isinstance(agents, list | tuple) or not agents:
            raise BadProperty(
                f"target.agents must be a list of agents' names, not {_shown(agents)}."
            )
        checked["agents"] = [name("target.agents", each) for each in agents]
        seen: set[str] = set()
        for each in checked["agents"]:
            if each in seen:
                raise BadProperty(f"target.agents has {each} twice.")
            seen.add(each)
    if "count" in value:
        checked["count"] = whole("target.count", value["count"], 1)
    single = checked.get("count") == 1 or len(checked.get("agents", "--")) == 1
    return checked, single


def header(value: Any) -> Any:
    """
    Check a header: anything that JSON can say.

    @raise BadProperty: if it is something else.
    @raise TooLarge: if it is too deep.
    """
    # The header stands in an object, which is a level of its own.
    _json("header", value, _DEPTH - 1)
    return value


def _json(where: str, value: Any, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise BadProperty(f"{where} has a number of more than 64 bits.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadProperty(f"{where} has {value}, and JSON has no such number.")
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as e:
            raise BadProperty(f"{where} has a text that is not Unicode.") from e
    elif isinstance(value, list | tuple | dict):
        if depth == 0:
            raise TooLarge(f"{where} is nested deeper than {_DEPTH} levels.")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise BadProperty(f"{where} has a key that is no text: {_shown(key)}.")
                _json(where, key, depth)
            value = value.values()
        for each in value:
            _json(where, each, depth - 1)
    else:
        raise BadProperty(f"{where} has a {type(value).__name__}, and JSON has no such thing.")


def _shown(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 60 else said[:57] + "..."
