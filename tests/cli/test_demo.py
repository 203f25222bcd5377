"""
Tests of C{jobroute demo}: a small one, from its beginning to its end, and one
that is interrupted.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.support import Processes


def living(folder: Path) -> list[int]:
    """
    The processes that know of a folder.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


class DemoTests(SynchronousTestCase):
    """
    In a folder for temporary files where nothing else is.
    """

    def setUp(self) -> None:
        """
        Make the folder.
        """
        self.processes = Processes()
        self.folder = Path(tempfile.mkdtemp(prefix="jr-"))
        self.addCleanup(shutil.rmtree, self.processes.folder)
        self.addCleanup(shutil.rmtree, self.folder)
        self.environment = {**self.processes.environment, "TMPDIR": str(self.folder)}

    def play(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run the command to its end.
        """
        return subprocess.run(
            self.processes.line(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    def test_json(self) -> None:
        """
        All jobs succeed, those of the dead agent on a second attempt; the
        broker comes back with them, and nothing is left behind.
        """
        done = self.play("--json", "demo", "--modules", "60")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        said = json.loads(done.stdout)
        self.assertEqual((said["jobs"], said["verdicts"]), (60, {"succeeded": 60}))
        self.assertEqual(sum(agent["jobs"] for agent in said["agents"].values()), 60)
        self.assertEqual(said["epochs"], [1, 2])
        self.assertEqual(len(said["longest"]), 10)
        self.assertLessEqual(set(said["lost_by"]["demo-2"]), set(said["second_attempts"]))
        self.assertEqual({job["state"] for job in said["after_restart"]}, {"ended"})
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertEqual(living(self.folder), [])

    def test_plain(self) -> None:
        """
        In a pipe it is plain text; C{--keep} keeps everything, in a folder
        that is empty.
        """
        keep = self.folder / "kept"
        done = self.play("demo", "--modules", "20", "--keep", str(keep))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.isascii())
        self.assertNotIn("\x1b", done.stdout)
        for said in (
            r"20 jobs are submitted",
            r"demo-2 is dead, demo-5 starts",
            r"(?m)^all +20 ",
            r"Every job succeeded",
            rf"stored in {keep}/broker/store.sqlite ",
            r"it is in epoch 2",
            r"(?m)^JOB +NUMBER",
        ):
            self.assertRegex(done.stdout, said)
        self.assertTrue((keep / "broker" / "store.sqlite").exists())
        self.assertEqual(living(self.folder), [])
        again = self.play("demo", "--keep", str(keep))
        self.assertEqual((again.returncode, again.stdout), (1, ""))
        self.assertIn("take an empty folder", again.stderr)

    def test_too_long(self) -> None:
        """
        A folder in which no socket can be is a usage error.
        """
        done = self.play("demo", "--keep", str(self.folder / ("x" * 100)))
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("choose a shorter", done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def interrupt(self, number: int) -> int:
        """
        Interrupt a demo when its jobs are submitted.

        @return: its exit status.
        """
        process = subprocess.Popen(
            self.processes.line("demo"),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None and process.stderr is not None
            self.addCleanup(process.kill)
            for line in process.stdout:
                if "jobs are submitted" in line:
                    break
            self.assertGreater(len(living(self.folder)), 5)
            process.send_signal(number)
            status = process.wait(30)
            self.assertEqual(process.stderr.read(), "")
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertEqual(living(self.folder), [])
        return status

    def test_interrupted(self) -> None:
        """
        Nothing is left behind after Ctrl-C.
        """
        self.assertEqual(self.interrupt(signal.SIGINT), 130)

    def test_terminated(self) -> None:
        """
        Nor after SIGTERM.
        """
        self.assertEqual(self.interrupt(signal.SIGTERM), 128 + signal.SIGTERM)
