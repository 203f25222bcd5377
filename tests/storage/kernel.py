"""
System calls that fail: the kernel's own, so that SQLite's own code meets
them.  For good, and for the whole process: only a child of a test may do it.
"""

from __future__ import annotations

import ctypes
import platform
import struct

#: Numbers of system calls: seccomp, and those that can be made to fail.
_NUMBERS = {
    "x86_64": {"seccomp": 317, "fsync": 74, "fdatasync": 75, "pwrite64": 18},
    "aarch64": {"seccomp": 277, "fsync": 82, "fdatasync": 83, "pwrite64": 68},
}

_NO_NEW_PRIVILEGES = 38
_SET_FILTER, _ALL_THREADS = 1, 1
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERROR, _ALLOW = 0x00050000, 0x7FFF0000


def fail_from_now_on(error: int, *calls: str) -> bool:
    """
    Have these system calls fail with an error, in all threads.

    @return: whether this machine can do that.
    """
    numbers = _NUMBERS.get(platform.machine())
    if platform.system() != "Linux" or numbers is None:
        return False
    program = struct.pack("HBBI", _LOAD, 0, 0, 0)
    for place, call in enumerate(calls):
        program += struct.pack("HBBI", _IF_EQUAL, len(calls) - place, 0, numbers[call])
    program += struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)
    program += struct.pack("HBBI", _RETURN, 0, 0, _ERROR | error)
    buffer = ctypes.create_string_buffer(program, len(program))
    described = ctypes.create_string_buffer(
        struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    done: int = libc.syscall(numbers["seccomp"], _SET_FILTER, _ALL_THREADS, described)
    return done == 0
