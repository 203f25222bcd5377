# -*- test-case-name: tests.agent.test_functions -*-
"""
What a service function is: where it comes from, what it takes, where it
runs, and what its outcome becomes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from inspect import Parameter
from types import ModuleType
from typing import Any, TypeVar, overload

import msgspec
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.reflect import namedModule

from jobroute.errors import ConfigurationError, JobrouteError
from jobroute.model import Advice, Frames
from jobroute.wire.text import YEAR

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__jobroute_service__"

#: So many characters of a failure go over the wire.
REASON = 2_000

_encode = msgspec.json.Encoder().encode


class Failed(JobrouteError):
    """
    Raised by a service function that failed, and knows whether another
    attempt at the part is worth it.  Whether there is one the job decides;
    if there is none the verdict is C{failed}, and the text of this its
    reason.

    @ivar payload: the frames that go with the failure.
    @ivar advice: what the broker is told.
    @param retry: whether another attempt would be worth it.
    @param retry_after: in how many seconds at the earliest.
    @raise ValueError: if C{retry_after} is negative, or a year or more.
    """

    code = "failed"

    def __init__(
        self,
        text: str = "",
        payload: Frames = (),
        *,
        retry: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text)
        self.payload = payload
        if retry_after is not None and not 0 <= retry_after < YEAR:
            raise ValueError(f"retry_after must be 0 or more and under a year, not {retry_after}")
        self.advice = Advice(bool(retry), None if retry_after is None else float(retry_after))


class Refuse(Failed):
    """
    Raised by a service function that will not do a part: its verdict is
    C{refused}, unless the job is worth another attempt by another agent.
    """

    code = "refused"


class Lost(JobrouteError):
    """
    Raised in place of a function of which nobody knows how it ended: its
    attempt is lost, and the part may be given to others.
    """

    code = "lost"


@frozen
class Mark:
    """
    What L{service} says of a function.
    """

    name: str
    in_reactor: bool | None


@frozen
class Function:
    """
    A service function.

    @ivar service: the service that it is.
    @ivar call: it.
    @ivar context: whether it takes a context: by position, by name, or not.
    @ivar threaded: whether it runs in a thread or a process, and not in the
        reactor.
    @ivar source: the function, or its C{module:callable}, as it was given.
    """

    service: str
    call: Callable[..., Any]
    context: str | None
    threaded: bool
    source: Callable[..., Any] | str

    def perform(self, frames: Frames, context: Any) -> Any:
        """
        Call it.
        """
        payload = frames[0] if len(frames) == 1 else list(frames)
        if self.context is None:
            return self.call(payload)
        if self.context == "position":
            return self.call(payload, context)
        return self.call(payload, context=context)


@overload
def service(name: F) -> F: ...


@overload
def service(name: str | None = None, *, in_reactor: bool | None = None) -> Callable[[F], F]: ...


def service(name: F | str | None = None, *, in_reactor: bool | None = None) -> F | Callable[[F], F]:
    """
    Mark a function as a service: C{@service}, or C{@service("name")}.

    @param name: the service's, if it is not the function's.
    @param in_reactor: whether it runs in the reactor; that is known of
        C{async def}, of C{inlineCallbacks} and of what is annotated to
        return a Deferred, and has to be said of others.
    """
    if name is not None and not isinstance(name, str):
        return service()(name)

    def mark(function: F) -> F:
        chosen = name if isinstance(name, str) else getattr(function, "__name__", "")
        setattr(function, _MARK, Mark(chosen, in_reactor))
        return function

    return mark


def resolve(dotted: str) -> Callable[..., Any]:
    """
    The callable that C{module:callable} names.

    @raise ConfigurationError: if there is none.
    """
    module_name, colon, path = dotted.partition(":")
    if not colon or not module_name or not path:
        raise ConfigurationError(f"A function is named module:callable, not {dotted!r}.")
    try:
        found: Any = namedModule(module_name)
    except Exception as e:
        raise ConfigurationError(
            f"The module {module_name} cannot be imported: {type(e).__name__}: {e}."
        ) from e
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as e:
            raise ConfigurationError(f"The module {module_name} has no {path}.") from e
    if not callable(found):
        raise ConfigurationError(f"{dotted} cannot be called.")
    return found  # type: ignore[no-any-return]


def describe(name: str, function: Callable[..., Any] | str) -> Function:
    """
    Look at a function, once, before it serves.

    @param name: the service's.
    @raise ConfigurationError: if it cannot be called with a payload, or with
        a payload and a context.
    """
    call = resolve(function) if isinstance(function, str) else function
    if not callable(call):
        raise ConfigurationError(f"Service {name}: {call!r} cannot be called.")
    mark: Mark | None = getattr(call, _MARK, None)
    reactor = mark.in_reactor if mark is not None else None
    if reactor is None:
        reactor = _in_reactor(call)
    return Function(name, call, _context(name, call), not reactor, function)


def collect(
    services: Mapping[str, Callable[..., Any] | str] | Iterable[Any],
) -> dict[str, Function]:
    """
    All functions of an agent: a mapping of names to functions, or functions
    and modules of functions that are marked.

    @raise ConfigurationError: if one of them cannot serve.
    """
    found: dict[str, Function] = {}
    if isinstance(services, Mapping):
        for name, function in services.items():
            found[name] = describe(name, function)
        return found
    for thing in services:
        members = vars(thing).values() if isinstance(thing, ModuleType) else (thing,)
        for member in members:
            mark = getattr(member, _MARK, None)
            if isinstance(mark, Mark):
                found[mark.name] = describe(mark.name, member)
            elif member is thing:
                raise ConfigurationError(f"{thing!r} is not marked with @service.")
    return found


def dotted_name(service: str, function: Callable[..., Any] | str) -> str:
    """
    The name by which another process finds a function.

    @raise ConfigurationError: if there is none.
    """
    if isinstance(function, str):
        return function
    module, name = (getattr(function, n, None) for n in ("__module__", "__qualname__"))
    dotted = f"{module}:{name}"
    found: object = None
    if module != "__main__" and isinstance(name, str) and "<" not in name:
        with suppress(ConfigurationError):
            found = resolve(dotted)
    if found is not function:
        raise ConfigurationError(
            f"Service {service}: a process cannot import {function!r}; "
            "it has to be a function at the top of a module."
        )
    return dotted


def marked_name(function: Callable[..., Any]) -> str:
    """
    The name of the service that a function is marked as, or its own.
    """
    mark = getattr(function, _MARK, None)
    return mark.name if isinstance(mark, Mark) else getattr(function, "__name__", "")


def _in_reactor(call: Callable[..., Any]) -> bool:
    inner = call if inspect.isroutine(call) else vars(type(call)).get("__call__", call)
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(inner):
        return True
    # inlineCallbacks wraps a generator function.
    if inspect.isgeneratorfunction(inspect.unwrap(inner)):
        return hasattr(inner, "__wrapped__")
    annotation = getattr(inner, "__annotations__", {}).get("return")
    if isinstance(annotation, str):
        head = annotation.partition("[")[0].strip("\"' ")
        return head.rpartition(".")[2] in ("Deferred", "Awaitable", "Coroutine")
    return getattr(annotation, "__origin__", annotation) is Deferred


def _context(name: str, call: Callable[..., Any]) -> str | None:
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        # Some functions written in C don't say.
        return None
    by_position = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p for p in parameters if p.kind in by_position]
    required = [p for p in positional if p.default is Parameter.empty]
    keywords = [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
    if not positional and not any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        raise ConfigurationError(f"Service {name}: {call!r} takes no payload.")
    wanted = [p.name for p in keywords if p.default is Parameter.empty and p.name != "context"]
    if len(required) > 2 or wanted:
        raise ConfigurationError(
            f"Service {name}: {call!r} takes more than a payload and a context."
        )
    if len(positional) > 1 and (len(required) == 2 or positional[1].name == "context"):
        return "position"
    return "name" if any(p.name == "context" for p in keywords) else None


# ---------------------------------------------------------------------------
# Outcomes


def encode_frame(value: Any) -> bytes:
    """
    One frame: bytes as they are, text as UTF-8, all else as JSON.

    @raise TypeError: if it is none of these.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, Deferred) or inspect.isawaitable(value):
        raise TypeError(
            "it returned something to wait for, in a thread; mark it with @service(in_reactor=True)"
        )
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError) as e:
        raise TypeError(f"{type(value).__name__} is neither bytes nor JSON: {e}") from e


def encode_frames(value: Any) -> Frames:
    """
    What a function returned, as frames.

    L{None} is no frame; a tuple is one frame for each item, and so is a list
    that has only bytes; anything else is one frame.

    @raise TypeError: if it cannot be encoded.
    """
    if value is None:
        return ()
    if type(value) is bytes:
        return (value,)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(encode_frame, value))
    if isinstance(value, list) and value and all(isinstance(v, bytes) for v in value):
        return tuple(value)
    return (encode_frame(value),)


def reason(error: BaseException) -> str:
    """
    An exception as the reason of a failure: its type and text, in bounds,
    and nothing of where it was.
    """
    try:
        said = str(error)
    except Exception:
        said = ""
    name = type(error).__name__
    return clip(f"{name}: {said}" if said else name)


def clip(text: str) -> str:
    """
    As much of a reason as goes over the wire.
    """
    if len(text) > REASON:
        text = text[: REASON - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")
