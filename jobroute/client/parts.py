# -*- test-case-name: tests.client.test_parts -*-
"""
The results of a call of several parts.

The broker leaves them out of its last answer when they are too many or too
large together, and does not store a call: they must be kept as they come.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from jobroute.client.outcomes import Outcome, PartOutcome
from jobroute.client.specs import TargetLike

OnPart = Callable[[PartOutcome], object] | None


@define(eq=False)
class Parts:
    """
    Keeps the parts of a call that may have several, and passes them on.
    """

    _target: TargetLike
    _on_part: OnPart
    _parts: dict[int, PartOutcome] = field(factory=dict, init=False)

    @property
    def on_part(self) -> OnPart:
        """
        What is to be called for each part; L{None} if nothing need be.
        """
        return self._on_part if self._target == "any" else self._came

    def _came(self, part: PartOutcome) -> None:
        self._parts[part.index] = part
        if self._on_part is not None:
            self._on_part(part)

    def complete(self, outcome: Outcome) -> Outcome:
        """
        The outcome with the results that were left out of it.
        """
        for part in outcome.parts:
            if part.omitted and part.index in self._parts:
                outcome = outcome.with_part(self._parts[part.index])
        return outcome
