"""
Tests of L{jobroute.model}.
"""

from __future__ import annotations

import typing

import attrs
from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase

from jobroute import model
from jobroute.model import Change, ReplyKind, Target, Verdict


class ModelTests(SynchronousTestCase):
    """
    Values.
    """

    def test_frozen(self) -> None:
        """
        All are frozen, so that another thread may read them, and say what
        they are.
        """
        for name, kind in vars(model).items():
            if isinstance(kind, type) and attrs.has(kind):
                self.assertTrue((kind.__doc__ or "").strip(), name)
                instance = kind.__new__(kind)
                field = attrs.fields(kind)[0].name
                self.assertRaises(attrs.exceptions.FrozenInstanceError, setattr, instance, field, 1)
            elif isinstance(kind, type) and issubclass(kind, Struct) and kind is not Struct:
                self.assertTrue((kind.__doc__ or "").strip(), name)
                self.assertTrue(kind.__struct_config__.frozen, name)

    def test_target(self) -> None:
        """
        A target is frozen unless one agent is picked when it is free.
        """
        for target, frozen in (
            (Target(), False),
            (Target(("a", "b"), 1), False),
            (Target(None, None), True),
            (Target(None, 2), True),
            (Target(("a",), None), True),
        ):
            self.assertEqual(target.frozen, frozen)

    def test_texts(self) -> None:
        """
        What goes over the wire is text.
        """
        self.assertEqual(f"{Verdict.TIMED_OUT}", "timed_out")
        self.assertEqual(ReplyKind("partial"), ReplyKind.PARTIAL)

    def test_changes(self) -> None:
        """
        All changes are values of the model.
        """
        changes = typing.get_args(Change)
        self.assertEqual(len(changes), 14)
        for change in changes:
            self.assertTrue(attrs.has(change))
