"""
Tests for L{jobroute.testing.simulation}: every promise is kept in many
worlds, and the same seed makes the same world.
"""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from jobroute.log import least_level
from jobroute.testing.simulate import explain
from jobroute.testing.simulation import Bugs, simulate

#: So many seeds in each test, which may run beside each other.
SHARE = 25


class PromiseTests(SynchronousTestCase):
    """
    Two hundred worlds.
    """

    def keeps(self, share: int) -> None:
        """
        One share of the worlds keeps every promise.
        """
        for seed in range(share * SHARE, (share + 1) * SHARE):
            report = simulate(seed)
            self.assertTrue(report.evidence.finished, f"Seed {seed} did not come to rest.")
            if report.breaches:
                self.fail(explain(report))

    def test_seeds_0(self) -> None:
        """
        Seeds 0 to 24.
        """
        self.keeps(0)

    def test_seeds_1(self) -> None:
        """
        Seeds 25 to 49.
        """
        self.keeps(1)

    def test_seeds_2(self) -> None:
        """
        Seeds 50 to 74.
        """
        self.keeps(2)

    def test_seeds_3(self) -> None:
        """
        Seeds 75 to 99.
        """
        self.keeps(3)

    def test_seeds_4(self) -> None:
        """
        Seeds 100 to 124.
        """
        self.keeps(4)

    def test_seeds_5(self) -> None:
        """
        Seeds 125 to 149.
        """
        self.keeps(5)

    def test_seeds_6(self) -> None:
        """
        Seeds 150 to 174.
        """
        self.keeps(6)

    def test_seeds_7(self) -> None:
        """
        Seeds 175 to 199.
        """
        self.keeps(7)


class ReplayTests(SynchronousTestCase):
    """
    A seed is all that is needed to see the same again.
    """

    def in_process(self, seed: int, hash_seed: int) -> str:
        """
        The digest of a run in a process of its own.
        """
        done = subprocess.run(
            [sys.executable, "-m", "jobroute.testing.simulate", "--seed", str(seed)],
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.splitlines()[-1].removeprefix("Digest: ")

    def test_same_process(self) -> None:
        """
        Two runs of a seed are the same in every detail, whatever ran in
        between.
        """
        first = simulate(5).digest
        self.assertNotEqual(simulate(6).digest, first)
        self.assertEqual(simulate(5).digest, first)

    def test_any_process(self) -> None:
        """
        So they are in other processes, in which texts have other hashes.
        """
        digests = {self.in_process(5, hash_seed) for hash_seed in (1, 4711)}
        self.assertEqual(digests, {simulate(5).digest})


class BugsTests(SynchronousTestCase):
    """
    What is logged as a bug is a breach.
    """

    def test_found(self) -> None:
        """
        Critical events are found while it listens, with their traceback,
        and no others.
        """
        bugs, log = Bugs(), Logger()
        log.critical("Before.")
        with bugs.listening():
            log.error("Nothing much.")
            log.critical("It {what}.", what="broke")
            try:
                raise ValueError("wrong")
            except ValueError:
                log.failure("It failed.")
        log.critical("After.")
        self.assertEqual(len(bugs.found), 2)
        self.assertEqual(bugs.found[0], "It broke.")
        self.assertIn("wrong", bugs.found[1])
        self.flushLoggedErrors(ValueError)

    def test_put_back(self) -> None:
        """
        Afterwards as much is logged as before.
        """
        before = least_level()
        bugs = Bugs()
        with bugs.listening():
            self.assertEqual(least_level(), "critical")
        self.assertEqual(least_level(), before)
        self.assertNotIn(bugs, globalLogPublisher._observers)
