"""
Tests for C{jobroute torture} when somebody has enough of it.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.support import Processes
from tests.torture.living import living

#: Seconds in which something has to happen.
SOON = 60.0


class InterruptTests(SynchronousTestCase):
    """
    A torture of an hour, in a folder for temporary files where nothing else
    is.
    """

    def setUp(self) -> None:
        """
        Begin it.
        """
        self.processes = Processes()
        self.folder = Path(tempfile.mkdtemp(prefix="jr-"))
        self.addCleanup(shutil.rmtree, self.processes.folder)
        self.addCleanup(shutil.rmtree, self.folder)
        self.torture = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "--json", "torture", "--minutes", "60"],
            env={**self.processes.environment, "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.torture.kill)
        self.until(lambda: bool(list(self.folder.glob("*/notes/*.jsonl"))))
        [self.place] = self.folder.iterdir()
        self.until(lambda: any("asked" in p.read_text() for p in self.place.glob("notes/c*")))

    def until(self, condition: Callable[[], bool]) -> None:
        """
        Wait for something.
        """
        for _ in range(round(SOON / 0.05)):
            if condition():
                return
            time.sleep(0.05)
        self.fail("It did not happen.")

    def test_at_once(self) -> None:
        """
        Whoever asks twice has the judgement at once.
        """
        self.torture.send_signal(signal.SIGINT)
        self.until((self.place / "calm").exists)
        self.torture.send_signal(signal.SIGINT)
        out, err = self.torture.communicate(timeout=SOON)
        said = json.loads(out)
        self.assertEqual((self.torture.returncode, err), (0, ""), said["breaches"])
        self.assertFalse(said["finished"])
        self.assertLess(said["seconds"], 600)
        self.assertEqual((living(self.place), list(self.folder.iterdir())), ([], []))

    def test_terminated(self) -> None:
        """
        Who is asked to end leaves nobody, and nothing.
        """
        self.torture.terminate()
        self.torture.communicate(timeout=SOON)
        self.assertEqual(self.torture.returncode, 128 + signal.SIGTERM)
        self.assertEqual((living(self.place), list(self.folder.iterdir())), ([], []))

    def test_killed(self) -> None:
        """
        Nobody survives the one who started them.
        """
        self.assertNotEqual(living(self.place), [])
        self.torture.kill()
        self.torture.communicate(timeout=SOON)
        self.until(lambda: not living(self.place))


#: The command, with the torture wherever it was imported from.
COMMAND = """
from jobroute.cli.command import jobroute
from jobroute.testing.torture.command import torture

jobroute.add_command(torture)
jobroute(prog_name="jobroute")
"""
