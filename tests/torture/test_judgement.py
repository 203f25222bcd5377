"""
Tests for L{jobroute.testing.torture.judgement} and
L{jobroute.testing.torture.settings}.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import load, read_file
from jobroute.errors import ConfigurationError
from jobroute.model import PartState
from jobroute.testing import promises
from jobroute.testing.checker import title
from jobroute.testing.clock import WALL
from jobroute.testing.torture import settings
from jobroute.testing.torture.judgement import (
    Judgement,
    Outstanding,
    bodies,
    evidence_of,
    hits,
    judged,
    outstanding,
    starts,
)
from jobroute.testing.torture.orders import Place
from jobroute.testing.torture.settings import About
from tests.simulation.tale import Tale

ABOUT = About(7, 1.0, WALL)


class JudgementTests(SynchronousTestCase):
    """
    A tale of one job.
    """

    def setUp(self) -> None:
        """
        Tell it.
        """
        self.tale = Tale()
        self.tale.work()

    def test_kept(self) -> None:
        """
        Each promise is judged, and was kept.
        """
        judgement = Judgement(ABOUT, self.tale.told())
        self.assertTrue(judgement.kept)
        self.assertEqual(set(judgement.held.values()), {0})

    def test_broken(self) -> None:
        """
        A promise that was broken is counted.
        """
        self.tale.broken += ["Bug 1", "Bug 2"]
        judgement = Judgement(ABOUT, self.tale.told())
        self.assertFalse(judgement.kept)
        self.assertEqual(judgement.held["Nothing met a bug"], 2)

    def test_not_finished(self) -> None:
        """
        What was open when somebody ended it all is no broken promise.
        """
        self.tale.parts = [replace(self.tale.parts[0], state=PartState.RUNNING, verdict=None)]
        every = title(promises.verdict_for_every_part)
        self.assertIn(every, [b.promise for b in Judgement(ABOUT, self.tale.told()).breaches])
        self.tale.finished = False
        judgement = Judgement(ABOUT, self.tale.told())
        self.assertNotIn(every, judgement.held)

    def test_hits(self) -> None:
        """
        What was done in the trouble is counted, and what was open then.
        """
        for at, who, name in (
            (1.5, "a1.1", "SIGKILL"),
            (2.0, "broker.1", "SIGSTOP"),
            (4.0, "c1.1", "SIGKILL"),
            (4.5, "a1.2", "SIGKILL"),
        ):
            self.tale.tell(at, who, "hit", signal=name)
        self.tale.tell(5.0, "world", "calm")
        self.tale.tell(6.0, "broker.1", "hit", signal="SIGTERM")
        evidence = self.tale.told()
        self.assertEqual(
            hits(evidence),
            {"broker": {"SIGSTOP": 1}, "agents": {"SIGKILL": 2}, "clients": {"SIGKILL": 1}},
        )
        self.assertEqual(outstanding(evidence), Outstanding(0, 0.5, 1))

    def test_nobody_hit(self) -> None:
        """
        Where nobody was hit there is nothing to count.
        """
        evidence = self.tale.told()
        self.assertIsNone(outstanding(evidence))
        self.assertIsNone(bodies(evidence))

    def test_bodies(self) -> None:
        """
        What lives of the broker needed, and how long each took to serve.
        """
        self.tale.tell(4.0, "broker.1", "body", rss=[100, 150], files=[10, 12])
        self.tale.tell(4.0, "a1.1", "body", rss=[1000, 1500], files=[100, 120])
        self.tale.tell(5.0, "broker.2", "born")
        self.tale.tell(5.5, "broker.2", "ready", epoch=2)
        self.tale.tell(6.0, "broker.2", "body", rss=[100, 110], files=[10, 10])
        found = bodies(self.tale.told())
        assert found is not None
        self.assertEqual(
            (found["lives"], found["rss_most"], found["rss_grown_middle"]), (2, 150, 30)
        )
        self.assertEqual((found["files_most"], found["files_grown_most"]), (12, 2))
        self.assertEqual(starts(self.tale.told()), [0.0, 0.5])


class PlaceTests(SynchronousTestCase):
    """
    What a torture leaves.
    """

    def setUp(self) -> None:
        """
        Make a folder.
        """
        self.place = Place(Path(tempfile.mkdtemp()))
        self.addCleanup(shutil.rmtree, self.place.folder)

    def test_nothing(self) -> None:
        """
        A folder in which there was no torture is a sentence.
        """
        error = self.assertRaises(ConfigurationError, judged, self.place)
        self.assertIn("there is no torture to judge", str(error))
        self.place.about.write_text('{"seed": "x"}')
        self.assertRaises(ConfigurationError, judged, self.place)

    def test_about(self) -> None:
        """
        What the judge has to know is kept; the settings of the broker are
        what it takes them to be.
        """
        ABOUT.write(self.place)
        self.assertEqual(About.read(self.place), ABOUT)
        self.place.config.write_text(settings.toml())
        loaded = load({"data_dir": str(self.place.data)}, read_file(str(self.place.config)))
        times = ABOUT.times
        self.assertEqual(loaded.heartbeat_interval * loaded.liveness, times.lease)
        self.assertEqual(
            (loaded.heartbeat_interval, loaded.grace, loaded.deadline),
            (times.interval, times.grace, times.deadline),
        )

    def test_killed_at_birth(self) -> None:
        """
        A torture that ended before anybody wrote anything can be judged.
        """
        self.place.notes.mkdir()
        evidence = evidence_of(self.place, ABOUT)
        self.assertEqual((len(evidence.history), evidence.stored), (0, {}))
        self.assertFalse(evidence.finished)
        self.assertTrue(Judgement(ABOUT, evidence).kept)
