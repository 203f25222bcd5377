"""
Tests of the keeper of a program; what it does for programs is tested in
L{tests.agent.test_programs}.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import keeper

#: Starts a keeper with the descriptors that it expects, and hands on what it is told.
START = """
import os, sys
control, telling = os.pipe()
os.write(telling, {order!r})
os.dup2(control, 13)
os.dup2(1, 14)
os.dup2(2, 15)
if {closed}:
    os.close(telling)
else:
    os.dup2(telling, 16)
for wanted, there in ((3, 13), (4, 14), (5, 15)):
    os.dup2(there, wanted)
os.closerange(6, 16)
os.execv(sys.executable, [sys.executable, "-I", "-S", {path!r}])
"""


def kept(order: dict[str, Any], after: bytes = b"", closed: bool = False) -> list[dict[str, Any]]:
    """
    What a keeper tells of a program.
    """
    order = {"cwd": None, "environ": {"PATH": os.environ["PATH"]}, "grace": 0.2, **order}
    data = json.dumps(order).encode() + b"\n" + after
    code = START.format(order=data, path=keeper.__file__, closed=closed)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=30, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


class KeeperTests(SynchronousTestCase):
    """
    What it is told, and tells.
    """

    def test_exit(self) -> None:
        """
        It tells how its program ended.
        """
        for script, told in (("exit 0", {"exit": 0}), ("exit 7", {"exit": 7})):
            self.assertEqual(kept({"args": ["sh", "-c", script]}), [told])
        self.assertEqual(kept({"args": ["sh", "-c", "kill -9 $$"]}), [{"signal": 9}])

    def test_error(self) -> None:
        """
        It tells why it could not be started.
        """
        told = kept({"args": ["/nowhere"]})
        self.assertEqual(told[0], {"error": "No such file or directory"})

    def test_orders(self) -> None:
        """
        It ends its program, or kills it, when it is told to or when nobody
        is there any more; what was told at once is not missed.
        """
        sleep = ["sh", "-c", "trap 'exit 5' TERM; sleep 600 & wait"]
        stubborn = ["sh", "-c", "trap '' TERM; sleep 600"]
        self.assertEqual(kept({"args": ["sleep", "600"]}, b"E"), [{"signal": 15}])
        self.assertEqual(kept({"args": ["sleep", "600"]}, b"K"), [{"signal": 9}])
        self.assertEqual(kept({"args": ["sleep", "600"]}, closed=True), [{"signal": 15}])
        self.assertIn(kept({"args": sleep}, b"E")[0], ({"exit": 5}, {"signal": 15}))
        self.assertIn(kept({"args": stubborn}, b"E")[0], ({"signal": 9}, {"signal": 15}))

    def test_descendants(self) -> None:
        """
        It finds all that come from a process, and no others.
        """
        process = subprocess.Popen(
            ["sh", "-c", "sh -c 'echo; sleep 600' & wait"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        below = keeper.descendants(process.pid)
        found = keeper.descendants(os.getpid())
        self.assertIn(process.pid, found)
        self.assertNotIn(process.pid, below)
        self.assertTrue(below)
        self.assertTrue(set(below) < set(found))
        self.assertNotIn(os.getppid(), found)
        for pid in (*keeper.descendants(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
