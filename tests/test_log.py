"""
Tests of L{jobroute.log}.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from jobroute.log import Logger, least_level, set_level


class LevelTests(SynchronousTestCase):
    """
    Nothing is said below the level.
    """

    def setUp(self) -> None:
        self.addCleanup(set_level, least_level())
        self.said: list[dict[str, Any]] = []
        self.log = Logger("tests", observer=self.said.append)  # type: ignore[arg-type]

    def test_levels(self) -> None:
        """
        At each level, what is as important or more.
        """
        names = [level.name for level in LogLevel.iterconstants()]
        for least in names:
            set_level(least)
            self.assertEqual(least_level(), least)
            self.said.clear()
            for name in names:
                getattr(self.log, name)("{number} things", number=3)
            self.assertEqual(
                [event["log_level"].name for event in self.said], names[names.index(least) :]
            )

    def test_failure(self) -> None:
        """
        A bug is said, with its failure.
        """
        set_level("error")
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            self.log.failure("A bug.")
        self.assertTrue(self.said[0]["log_failure"].check(ZeroDivisionError))
