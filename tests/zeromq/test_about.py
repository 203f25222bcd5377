"""
Tests for L{jobroute.zeromq.about}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.zeromq import about


class AboutTests(SynchronousTestCase):
    """
    What libzmq says of itself.
    """

    def test_version(self) -> None:
        """
        It has a version of three numbers.
        """
        self.assertEqual(len([int(number) for number in about.version().split(".")]), 3)

    def test_has(self) -> None:
        """
        It can do some things, and others nobody can.
        """
        self.assertTrue(about.has("ipc"))
        self.assertFalse(about.has("telepathy"))
