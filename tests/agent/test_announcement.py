"""
Tests of what an agent may say of itself.
"""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.announcement import check, default_name
from jobroute.config import Limits
from jobroute.errors import ConfigurationError
from jobroute.wire.backend import decode_announcement, encode_announcement
from tests.agent.support import announcement


class AnnouncementTests(SynchronousTestCase):
    """
    Names that are made, and announcements that are checked.
    """

    def test_default_name(self) -> None:
        """
        The name is the machine's as far as that is one.
        """
        for hostname, name in (
            ("box-1.example.org", "box-1.example.org"),
            ("böx of mine", "b-x-of-mine"),
            ("..", "agent"),
            ("", "agent"),
            ("x" * 200, "x" * 128),
        ):
            self.assertEqual(default_name(hostname), name)

    @given(st.text())
    def test_default_name_is_taken(self, hostname: str) -> None:
        """
        Any machine has a name that a broker takes.
        """
        a = attrs.evolve(announcement(), name=default_name(hostname))
        check(a, Limits())
        self.assertEqual(decode_announcement(encode_announcement(a), Limits()).name, a.name)

    def test_limits(self) -> None:
        """
        What is at a limit is taken, and what is one past it is not.
        """
        limits = Limits(slots=5, agent_services=2, labels=1)
        fine = attrs.evolve(announcement(4, 1), labels={"a": "x" * 256})
        check(fine, limits)
        for wrong in (
            {"prefetch": 2},
            {"services": ("a", "b", "c")},
            {"labels": {"a": "", "b": ""}},
            {"labels": {"a": "x" * 257}},
            {"name": "x" * 129},
        ):
            a = attrs.evolve(fine, **wrong)
            self.assertRaises(ConfigurationError, check, a, limits)
