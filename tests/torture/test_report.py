"""
Tests for L{jobroute.testing.torture.report}.
"""

from __future__ import annotations

import io
import json

from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli.screen import Screen
from jobroute.testing.torture import report as module
from jobroute.testing.torture.judgement import Judgement
from jobroute.testing.torture.report import Report
from tests.simulation.tale import Tale
from tests.torture.test_judgement import ABOUT


class ReportTests(SynchronousTestCase):
    """
    The tale of one job, and an agent that was killed.
    """

    def setUp(self) -> None:
        """
        Tell it.
        """
        self.tale = Tale()
        self.tale.tell(0.5, "world", "trouble")
        self.tale.work()
        self.tale.tell(3.5, "a2.1", "hit", signal="SIGKILL")
        self.tale.tell(60.5, "world", "calm")

    def show(self, json: bool = False) -> str:
        """
        What is printed.
        """
        out = io.StringIO()
        Report(Judgement(ABOUT, self.tale.told())).show(Screen(json, out=out))
        return out.getvalue()

    def test_page(self) -> None:
        """
        People see the verdicts, who was hit, and that all was well.
        """
        page = self.show()
        self.assertRegex(page, r"succeeded +1\n")
        self.assertRegex(page, r"agents +1 +0 +0\n")
        self.assertRegex(page, r"- +Acknowledged means on disk\n")
        self.assertIn("1 jobs with 1 parts were accepted and stored in 1m00s of trouble", page)
        self.assertIn("promises kept.", page)
        self.assertIn("Seed 7", page)
        self.assertNotIn("Broken:", page)
        self.assertNotIn("It was ended before", page)

    def test_broken(self) -> None:
        """
        What was broken is told with the history that shows it, shortened.
        """
        self.patch(module, "SHOWN", 5)
        self.tale.results = [(b"other",)]
        self.tale.broken += [f"Bug {number}" for number in range(5)]
        page = self.show()
        self.assertIn("Broken: Nothing met a bug:\nBug 0\nBug 1\nBug 2\n… and 2 times more.", page)
        self.assertIn("Broken: A reply of an earlier attempt", page)
        self.assertIn("entries before", page)
        self.assertIn("job='j1'", page)
        self.assertRegex(page, r"5 +Nothing met a bug\n")
        self.assertIn("promises broken.", page)

    def test_json(self) -> None:
        """
        Programs get one object.
        """
        said = json.loads(self.show(json=True))
        self.assertTrue(said["kept"])
        self.assertEqual((said["jobs"], said["parts"], said["seed"]), (1, 1, 7))
        self.assertEqual(said["hits"]["agents"], {"SIGKILL": 1})
        self.assertEqual(said["seconds"], 60.0)
        self.tale.broken.append("Bug 1")
        said = json.loads(self.show(json=True))
        self.assertFalse(said["kept"])
        self.assertEqual([b["how"] for b in said["breaches"]], ["Bug 1"])

    def test_ended_early(self) -> None:
        """
        What was ended early says so.
        """
        self.tale.finished = False
        self.assertIn("It was ended before all jobs were", self.show())
