# -*- test-case-name: tests.agent.test_kernel -*-
"""
What Python does not offer of the kernel.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> bool:
    """
    Be killed when the parent ends, however it does.

    @param parent: who it was when this process was started.
    @return: whether the kernel does that; only Linux can.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        # It was too late to be told.
        os.kill(os.getpid(), signal.SIGKILL)
    return done == 0


def limit_memory(size: int) -> None:
    """
    Let this process have so many bytes of data and no more: what asks for
    more gets a L{MemoryError}.
    """
    # What is mapped and not used costs nothing, and counts only where there
    # is no other limit.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    resource.setrlimit(kind, (size, hard))


def data_size() -> int:
    """
    How many bytes of data this process has; 0 if the kernel does not say.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            lines = [line for line in file if line.startswith("VmData:")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) * 1024 if lines else 0


def signal_group(leader: int, number: signal.Signals) -> None:
    """
    Send a signal to a process that is not reaped yet, and to its group.
    """
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        # It does not lead a group yet.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(leader, number)


def sweep_group(leader: int) -> None:
    """
    Kill what is left of the group of a process that has ended.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def describe_exit(status: int | None, number: int | None) -> str:
    """
    How a process ended, as the end of a sentence.
    """
    if number is None:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(number).name}"
    except ValueError:
        return f"was ended by signal {number}"
