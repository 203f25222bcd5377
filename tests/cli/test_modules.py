"""
Tests of L{jobroute.cli.modules}: the work of the demo.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import Context, Refuse
from jobroute.agent.functions import describe
from jobroute.cli.modules import longest_function, measure, modules, read_measured
from jobroute.errors import Cancelled
from jobroute.wire.text import NAME

SOURCE = b'''\
# -*- coding: latin-1 -*-
"""Some \xe4 module."""
def short(): return "a\\d"
class C:
    async def longer(
        self
    ):
        x = 1
'''


class FakeContext:
    """
    The context of an attempt that is cancelled, or not.
    """

    def __init__(self, cancelled: bool = False) -> None:
        self.cancelled = cancelled

    def check(self) -> None:
        """
        As a context does.
        """
        if self.cancelled:
            raise Cancelled("The part was cancelled.")


def measured(path: Path, cancelled: bool = False) -> dict[str, Any]:
    """
    What the service says of a file.
    """
    return measure(str(path).encode(), cast(Context, FakeContext(cancelled)))


class MeasureTests(SynchronousTestCase):
    """
    The service function.
    """

    def setUp(self) -> None:
        """
        A file with one of everything.
        """
        self.path = Path(self.mktemp())
        self.path.write_bytes(SOURCE)

    def test_measured(self) -> None:
        """
        Lines, names and the longest function, in whatever encoding.
        """
        said = measured(self.path)
        self.assertGreaterEqual(said.pop("seconds"), 0)
        self.assertEqual(said, {"lines": 8, "names": 10, "function": "longer", "length": 4})

    def test_read(self) -> None:
        """
        What it says comes back as a value.
        """
        frame = json.dumps(measured(self.path)).encode()
        read = read_measured("stdlib.some.module", frame)
        self.assertEqual((read.module, read.function), ("some.module", "longer"))

    def test_no_function(self) -> None:
        """
        A module without one has none.
        """
        self.assertEqual(longest_function(b"x = 1\n"), ("", 0))

    def test_refuses(self) -> None:
        """
        A file that is not there is refused.
        """
        self.assertRaises(Refuse, measured, self.path / "nowhere")

    def test_cancelled(self) -> None:
        """
        It can be cancelled on the way.
        """
        self.assertRaises(Cancelled, measured, self.path, True)

    def test_serves(self) -> None:
        """
        An agent runs it in a thread, with a context.
        """
        function = describe("modules", measure)
        self.assertEqual((function.threaded, function.context), (True, "position"))


class ModulesTests(SynchronousTestCase):
    """
    Which modules there are.
    """

    def test_order(self) -> None:
        """
        Tests are last, the greatest at the end; what is no module of the
        library is left out.
        """
        folder = Path(self.mktemp())
        for name, size in {
            "b.py": 9,
            "a/__init__.py": 9,
            "test/big.py": 9,
            "a/tests/small.py": 1,
            "site-packages/c.py": 1,
            "test/data/d.py": 1,
            "test/badsyntax_x.py": 1,
            "readme.txt": 1,
        }.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"#" * size)
        found = [module.name for module in modules(folder)]
        self.assertEqual(found, ["a.__init__", "b", "a.tests.small", "test.big"])

    def test_library(self) -> None:
        """
        The standard library has some hundreds, and each can be a job of its
        own.
        """
        found = [module.job for module in modules()]
        self.assertGreater(len(found), 500)
        self.assertEqual(len(set(found)), len(found))
        self.assertEqual([job for job in found if not re.match(NAME, job)], [])
