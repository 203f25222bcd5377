"""
The examples of C{doc/clients.rst} work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.client.faces import BlockingFace

_ROOT = Path(__file__).parent.parent.parent


def examples() -> list[str]:
    """
    The code in the page.
    """
    found = []
    blocks = (_ROOT / "doc" / "clients.rst").read_text().split(".. code-block:: python\n")[1:]
    for block in blocks:
        lines = []
        for line in block.splitlines():
            if line and not line.startswith("   "):
                break
            lines.append(line)
        found.append(textwrap.dedent("\n".join(lines)))
    return found


class DocumentationTests(SynchronousTestCase):
    """
    Each example is run as a program of its own.
    """

    def setUp(self) -> None:
        """
        Make a broker that does every job.
        """
        self.face = BlockingFace()
        self.addCleanup(self.face.close)

    def run_program(self, program: str) -> str:
        """
        Run a program.

        @return: what it prints.
        """
        environment = {
            **os.environ,
            "JOBROUTE_BROKER": self.face.url,
            "PYTHONPATH": str(_ROOT),
            "PYTHONWARNINGS": "error",
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_all(self) -> None:
        """
        There is a test for each.
        """
        self.assertEqual(len(examples()), 5)

    def test_script(self) -> None:
        """
        The first one calls, submits, waits and maps.
        """
        printed = self.run_program(examples()[0])
        self.assertIn("b'four words are here'", printed)
        self.assertIn("{<Verdict.SUCCEEDED: 'succeeded'>: 1}", printed)
        self.assertIn("1 True", printed)

    def test_more(self) -> None:
        """
        The second one streams, and submits many.
        """
        self.assertIn("a1 succeeded", self.run_program(examples()[1]))
        self.assertEqual(len(self.face.broker.jobs), 1001)

    def test_twisted(self) -> None:
        """
        The third one runs in a reactor.
        """
        self.assertIn("1 b'one two'", self.run_program(examples()[2]))

    def test_asyncio(self) -> None:
        """
        The fourth one runs in an event loop.
        """
        printed = self.run_program(examples()[3])
        self.assertIn("b'one two'\n0 b'three words here'\nb'in a minute", printed)

    def test_executor(self) -> None:
        """
        The fifth one has futures.
        """
        self.assertIn("b'999'", self.run_program(examples()[4]))

    def test_no_reactor(self) -> None:
        """
        A script that uses the client has no reactor, and no txZMQ.
        """
        program = (
            "import sys; from jobroute.client import AsyncClient, Client, Executor, TwistedClient; "
            "print([name for name in ('twisted.internet.reactor', 'txzmq') if name in sys.modules])"
        )
        self.assertEqual(self.run_program(program), "[]\n")
