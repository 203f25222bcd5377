"""
Tests for L{jobroute.testing.torture.command}.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from attrs import define
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli import offered
from jobroute.cli.command import jobroute
from jobroute.testing.torture import command
from jobroute.testing.torture.orders import Place
from jobroute.testing.torture.settings import About
from jobroute.testing.torture.torture import TortureError


@define
class FakeTorture:
    """
    Leaves a torture in which nobody did anything.
    """

    place: Place
    about: About
    screen: Any
    clock: Any

    def run(self) -> None:
        """
        Leave it.
        """
        if self.about.seed == 13:
            raise TortureError("a1 did not start: no.")
        self.about.write(self.place)
        line = b'{"at":1,"who":"broker.1","what":"bug","said":{"text":"Bug 1"}}\n'
        (self.place.notes / "broker.1.jsonl").write_bytes(line if self.about.seed == 7 else b"")


class CommandTests(SynchronousTestCase):
    """
    What is done, and how it ends.
    """

    def setUp(self) -> None:
        """
        Nobody is tortured.
        """
        self.patch(command, "Torture", FakeTorture)
        self.patch(offered, "named", {"torture": command.torture}.get)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.patch(tempfile, "tempdir", str(self.folder))

    def run_command(self, *arguments: str) -> Result:
        """
        Give the command.
        """
        return CliRunner().invoke(jobroute, arguments)

    def test_kept(self) -> None:
        """
        If every promise was kept nothing is left, and that is success.
        """
        result = self.run_command("torture")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertIn("promises kept", result.output)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_broken(self) -> None:
        """
        If not, everything is left, and can be judged again.
        """
        result = self.run_command("--json", "torture", "--seed", "7")
        self.assertEqual(result.exit_code, 1, result.output)
        [left] = self.folder.iterdir()
        self.assertIn(f"jobroute torture --judge {left}", result.stderr)
        said = json.loads(result.stdout)
        self.assertEqual((said["kept"], said["seed"]), (False, 7))
        again = self.run_command("torture", "--judge", str(left))
        self.assertEqual(again.exit_code, 1, again.output)
        self.assertIn("broker.1: Bug 1", again.output)

    def test_data_dir(self) -> None:
        """
        A folder that was named is left; the second time it is refused.
        """
        folder = str(self.folder / "here")
        self.assertEqual(self.run_command("torture", "--data-dir", folder).exit_code, 0)
        self.assertTrue((self.folder / "here" / "torture.json").exists())
        result = self.run_command("torture", "--data-dir", folder)
        self.assertEqual(result.exit_code, 2)
        self.assertIn("take an empty folder", result.output)
        self.assertEqual(self.run_command("torture", "--judge", folder).exit_code, 0)

    def test_no_torture(self) -> None:
        """
        Where none was, none is judged.
        """
        result = self.run_command("torture", "--judge", str(self.folder))
        self.assertEqual(result.exit_code, 2)
        self.assertIn("there is no torture to judge", result.output)

    def test_no_start(self) -> None:
        """
        One that cannot begin is a sentence, and leaves nothing.
        """
        result = self.run_command("torture", "--seed", "13")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("a1 did not start: no.", result.output)
        self.assertNotIn("Traceback", result.output)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_minutes(self) -> None:
        """
        No time is no torture.
        """
        self.assertEqual(self.run_command("torture", "--minutes", "0").exit_code, 2)
