# -*- test-case-name: tests.cli.test_modules -*-
"""
The work of C{jobroute demo}: which modules there are, and the service function
that looks at one.
"""

from __future__ import annotations

import ast
import io
import json
import sysconfig
import time
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from jobroute.agent import Context, Refuse, service

#: Folders that hold no modules of the library itself, or files that are no
#: modules, for tests.
_OTHERS = ("site-packages", "dist-packages", "__pycache__", "tokenizedata", "data")

#: Files that are wrong on purpose.
_BROKEN = "bad"

#: Folders whose modules come last, so that they are left out first.
_TESTS = ("test", "tests", "idle_test")

_PREFIX = "stdlib."


@frozen
class Module:
    """
    A module of Python's standard library.

    @ivar name: with dots.
    """

    name: str
    path: Path

    @property
    def job(self) -> str:
        """
        The id of its job; a name of a job cannot begin with C{_}.
        """
        return f"{_PREFIX}{self.name}"


def modules(folder: Path | None = None) -> list[Module]:
    """
    All modules of the standard library; those for its tests are last, the
    greatest at the end: they are what the demo can do without.

    @param folder: where they are, if it is another one.
    """
    folder = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    found = []
    for path in _sources(folder):
        parts = path.relative_to(folder).with_suffix("").parts
        size = path.stat().st_size if any(part in _TESTS for part in parts) else -1
        found.append((size, Module(".".join(parts), path)))
    return [module for _, module in sorted(found, key=lambda each: (each[0], each[1].name))]


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if path.name not in _OTHERS:
                yield from _sources(path)
        elif path.suffix == ".py" and not path.name.startswith(_BROKEN):
            yield path


@service("modules")
def measure(payload: bytes, context: Context) -> dict[str, Any]:
    """
    Read a Python file and count what is in it.

    @param payload: its path.
    @return: C{lines}, C{names} (how many names the source uses), C{function}
        and C{length} (the longest one and its lines), and C{seconds}, which
        the processor needed.
    """
    began = time.thread_time()
    path = Path(payload.decode("utf-8"))
    try:
        source = path.read_bytes()
    except OSError as e:
        raise Refuse(f"{path} cannot be read: {e.strerror}.") from e
    names = sum(
        token.type == tokenize.NAME for token in tokenize.tokenize(io.BytesIO(source).readline)
    )
    context.check()
    function, length = longest_function(source)
    return {
        "lines": source.count(b"\n"),
        "names": names,
        "function": function,
        "length": length,
        "seconds": time.thread_time() - began,
    }


def longest_function(source: bytes) -> tuple[str, int]:
    """
    The longest function, and how many lines it has; C{("", 0)} if there is
    none.
    """
    with warnings.catch_warnings():
        # What is wrong with it is not asked here.
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    longest = ("", 0)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > longest[1]:
                longest = (node.name, length)
    return longest


@frozen
class Measured:
    """
    What an agent found out about a module.
    """

    module: str
    lines: int
    names: int
    function: str
    length: int
    seconds: float


def read_measured(job: str, frame: bytes) -> Measured:
    """
    From the result of L{measure}.
    """
    return Measured(module=job.removeprefix(_PREFIX), **json.loads(frame))
