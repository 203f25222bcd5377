"""
Who is left.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def living(folder: Path) -> list[int]:
    """
    The processes that know of a folder.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found
