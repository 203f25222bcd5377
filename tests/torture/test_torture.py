"""
Tests for L{jobroute.testing.torture.torture}: real processes, which are
killed, for some seconds.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli.screen import Screen
from jobroute.clock import SystemClock
from jobroute.errors import ConfigurationError
from jobroute.testing import promises
from jobroute.testing.checker import title
from jobroute.testing.torture import actors, acts, settings
from jobroute.testing.torture.judgement import Judgement, hits, judged, outstanding
from jobroute.testing.torture.notes import Notes, Tail, files, merged
from jobroute.testing.torture.orders import Place
from jobroute.testing.torture.report import Report
from jobroute.testing.torture.settings import About
from jobroute.testing.torture.torture import Torture, TortureError, prepare
from tests.torture.living import living


class TortureTests(SynchronousTestCase):
    """
    In a temporary folder, and in a hurry.
    """

    def setUp(self) -> None:
        """
        Jobs end soon, so that all is over soon.
        """
        self.patch(settings, "DEADLINE", 5.0)
        self.place = prepare(None)
        self.addCleanup(shutil.rmtree, self.place.folder)
        self.out = io.StringIO()
        self.screen = Screen(out=self.out, err=self.out)

    def torture(self, seconds: float, seed: int = 1) -> Torture:
        """
        One that takes so long.
        """
        clock = SystemClock()
        about = About(seed, seconds / 60, clock.wall())
        return Torture(self.place, about, self.screen, clock)

    def doctored(self, change: Callable[[Place], object]) -> set[str]:
        """
        What is broken if what was left is changed.
        """
        folder = Path(tempfile.mkdtemp()) / "copy"
        self.addCleanup(shutil.rmtree, folder.parent)
        shutil.copytree(self.place.folder, folder)
        change(Place(folder))
        return {breach.promise for breach in judged(Place(folder)).breaches}

    def report(self, judgement: Judgement) -> str:
        """
        The page.
        """
        self.out.truncate(0)
        self.out.seek(0)
        Report(judgement).show(self.screen)
        return self.out.getvalue()

    def test_torture(self) -> None:
        """
        Every promise is kept, somebody was hit and nobody is left behind;
        and if the histories or the store said something else, it would not
        be so.
        """
        self.torture(8.0).run()
        self.assertEqual(living(self.place.folder), [])
        judgement = judged(self.place)
        page = self.report(judgement)
        self.assertEqual(judgement.breaches, [], page)
        self.assertTrue(judgement.evidence.finished)
        self.assertGreater(sum(sum(n.values()) for n in hits(judgement.evidence).values()), 1)
        self.assertIsNotNone(outstanding(judgement.evidence))
        self.assertIn("promises kept", page)
        self.assertIn("succeeded", page)
        self.assertGreater(Report(judgement).value()["jobs"], 5)

        self.assertIn(title(promises.no_stale_answer), self.doctored(other_results))
        self.assertIn(title(promises.acknowledged_is_on_disk), self.doctored(no_store))
        self.assertIn(title(promises.calls_as_worked), self.doctored(other_results))

    def test_broken(self) -> None:
        """
        A broker that answers before it is on disk is found out.
        """
        self.patch(actors, "MODULES", {**actors.MODULES, "broker": "tests.torture.hasty"})
        self.patch(acts, "ACTS", {acts.kill_broker: 1})
        self.torture(10.0).run()
        judgement = judged(self.place)
        page = self.report(judgement)
        self.assertIn(
            title(promises.acknowledged_is_on_disk), {b.promise for b in judgement.breaches}, page
        )
        self.assertIn("Broken: Acknowledged means on disk", page)
        self.assertIn("is not stored", page)
        self.assertEqual(living(self.place.folder), [])

    def test_no_start(self) -> None:
        """
        If somebody cannot start there is a sentence, and nobody is left.
        """
        self.place.config.write_text("nonsense = 1\n", encoding="utf-8")
        error = self.assertRaises(TortureError, self.torture(5.0).run)
        self.assertIn("did not start", str(error))
        self.assertIn("nonsense", str(error))
        self.assertEqual(living(self.place.folder), [])


def other_results(place: Place) -> None:
    """
    The agents computed something else.
    """
    notes = Notes(place.notes / "doctor.jsonl", "doctor", lambda: 0.0)
    for entry in merged(place.notes):
        if entry.what == "ended" and entry.said["kind"] == "result":
            notes.add(entry.at, entry.who, entry.what, {**entry.said, "frames": (b"other",)})
    notes.close()
    for path in files(place.notes, "a"):
        kept = [line for line in Tail(path).lines() if line.what != "ended"]
        path.unlink()
        again = Notes(path, path.stem, lambda: 0.0)
        for line in kept:
            again.add(line.at, line.who, line.what, line.said)
        again.close()


def no_store(place: Place) -> None:
    """
    The store is gone.
    """
    shutil.rmtree(place.data)


class PrepareTests(SynchronousTestCase):
    """
    The folder.
    """

    def test_not_empty(self) -> None:
        """
        A folder with something in it is refused, and left as it is.
        """
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "mine").touch()
        error = self.assertRaises(ConfigurationError, prepare, str(folder))
        self.assertIn("take an empty folder", str(error))
        self.assertEqual([path.name for path in folder.iterdir()], ["mine"])

    def test_cannot_be(self) -> None:
        """
        A folder that cannot be is a sentence, as is one whose sockets would
        have too long a path.
        """
        error = self.assertRaises(ConfigurationError, prepare, "/dev/null/there")
        self.assertIn("cannot be used", str(error))
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        error = self.assertRaises(ConfigurationError, prepare, str(folder / ("x" * 120)))
        self.assertIn("a socket's may have 107", str(error))
        error = self.assertRaises(ConfigurationError, prepare, str(folder / "y"), "0.0.0.0:7000")
        self.assertIn("can be reached from other machines", str(error))
        prepare(str(folder / "y"))

    def test_tcp(self) -> None:
        """
        The sockets can be elsewhere.
        """
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.assertEqual(prepare(str(folder), "127.0.0.1:7000").url, "tcp://127.0.0.1:7000")
