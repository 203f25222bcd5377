"""
Functions that the tests have performed in processes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from jobroute.agent import Context, Failed, Refuse, service
from jobroute.errors import Cancelled


@service("pid")
def pid(payload: bytes) -> str:
    """
    In which process it runs.
    """
    return str(os.getpid())


@service("here")
def here(payload: bytes) -> Deferred[str]:
    """
    The same, in the reactor.
    """
    return succeed(str(os.getpid()))


@service("about")
def about(payload: bytes, context: Context) -> dict[str, Any]:
    """
    What the context says.
    """
    names = ("job", "part", "attempt", "index", "service", "run_limit", "header", "cancelled")
    return {
        **{name: getattr(context, name) for name in names},
        "frames": [frame.decode() for frame in context.frames],
    }


@service("chatty")
def chatty(payload: bytes, context: Context) -> bytes:
    """
    Say all that can be said.
    """
    for i in range(int(payload)):
        context.progress(i)
    context.partial(b"one", {"two": 2})
    context.partial("three")
    context.log.warn("{what} happened.", what="It")
    print("printed")
    print("complained", file=sys.stderr)
    return b"done"


@service("inputs")
def inputs(payload: bytes, context: Context) -> list[bytes]:
    """
    As many inputs as asked for; if that is 2, not before it was seen that
    there is none.
    """
    if payload == b"2":
        try:
            context.inputs.wait(0.01)
        except TimeoutError:
            context.partial("none")
    return [context.inputs.wait()[0] for _ in range(int(payload))]


@service("ends")
def ends(payload: bytes) -> None:
    """
    End in the way that is asked for.
    """
    match payload:
        case b"raise":
            raise ValueError("no good")
        case b"refuse":
            raise Refuse("not me")
        case b"later":
            raise Failed("not now", (b"partly",), retry_after=5)
        case b"exit":
            sys.exit(3)
        case b"_exit":
            os._exit(4)
        case b"segfault":
            ctypes.string_at(0)
        case b"kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"large":
            raise ValueError("x" * 100_000)


@service("repeat")
def repeat(payload: bytes) -> bytes:
    """
    A large result.
    """
    return payload * 1024


@service("remember")
def remember(payload: bytes) -> int:
    """
    Need as many MiB.
    """
    return len(bytearray(int(payload) * 1024 * 1024))


_kept: list[bytearray] = []


@service("keep")
def keep(payload: bytes) -> int:
    """
    The same, and never give it back.
    """
    _kept.append(bytearray(int(payload) * 1024 * 1024))
    return len(_kept)


@service("wait")
def wait(payload: bytes) -> str:
    """
    Write its process into a file, and wait for a signal; with a process of its
    own.
    """
    path = Path(payload.decode())
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    path.with_suffix(".new").write_text(f"{os.getpid()} {helper.pid}")
    path.with_suffix(".new").rename(path)
    try:
        time.sleep(600)
    except Cancelled:
        path.write_text("tidy")
        raise
    return "never"


@service("stubborn")
def stubborn(payload: bytes) -> None:
    """
    The same, and never mind a signal.
    """
    while True:
        try:
            wait(payload)
        except Cancelled:
            continue


@service("scribble")
def scribble(payload: bytes) -> None:
    """
    Write into a descriptor that is not the function's.
    """
    os.write(4, b"\xff" * 100)
    time.sleep(600)


@service("spin")
def spin(payload: bytes) -> int:
    """
    Keep a processor busy.
    """
    total = 0
    for i in range(int(payload)):
        total += i * i % 7
    return total
