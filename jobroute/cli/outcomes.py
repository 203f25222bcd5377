# -*- test-case-name: tests.cli.test_jobs -*-
"""
How the C{jobroute} command shows what became of jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from attrs import define

from jobroute.cli.screen import Column, Screen, escaped, json_frame, shown
from jobroute.client import Outcome, Partial, PartOutcome, Progress


def part_value(part: PartOutcome) -> dict[str, Any]:
    """
    A part in JSON, with its result.
    """
    return {
        **attrs.asdict(part, filter=lambda a, v: a.name not in ("frames", "omitted")),
        "frames": [json_frame(frame) for frame in part.frames],
    }


def outcome_value(outcome: Outcome) -> dict[str, Any]:
    """
    What became of a job in JSON, with all results.
    """
    return {
        "job": outcome.job,
        "number": outcome.number,
        "state": "done",
        "verdicts": outcome.verdicts,
        "parts": [part_value(part) for part in outcome.parts],
    }


def show_part(screen: Screen, part: PartOutcome, raw: bool) -> None:
    """
    The result of a part, each frame of it.
    """
    for frame in part.frames:
        screen.frame(frame, raw)


def show_outcome(screen: Screen, outcome: Outcome, raw: bool, partials: int = 0) -> None:
    """
    What became of a job: the result if there is one part, else what became of
    each.

    @param partials: how many partial results were shown before.
    """
    if screen.json:
        screen.value(outcome_value(outcome))
        return
    if len(outcome.parts) == 1 or raw:
        for part in outcome.parts:
            show_part(screen, part, raw)
        return
    columns = [
        Column("part", number=True),
        Column("agent"),
        Column("verdict"),
        Column("attempts", number=True, wide=80),
        Column("result"),
    ]
    said = shown if screen.terminal else escaped
    rows = [
        (
            part.index,
            part.agent or "",
            part.verdict.value,
            part.attempts,
            "  ".join(map(said, part.frames)) if part.succeeded else part.reason or "",
        )
        for part in outcome.parts
    ]
    screen.table(columns, rows)


@define(eq=False)
class Stream:
    """
    What is said of a job while it is not done.

    @ivar partials: how many partial results there were.
    """

    screen: Screen
    bar: Callable[[int, int | None], None]
    raw: bool
    partials: int = 0

    def callbacks(self, stream: bool) -> dict[str, Any]:
        """
        For the client.

        @param stream: whether partial results are printed.
        """
        if not stream:
            return {"on_progress": None if self.screen.json else self._progress}
        return {"on_progress": self._progress, "on_partial": self._partial}

    def _progress(self, progress: Progress) -> None:
        if self.screen.json:
            self.screen.value({"final": False, "progress": attrs.asdict(progress)})
        elif isinstance(progress.value, int | float) and 0 <= progress.value <= 1:
            self.bar(round(progress.value * 100), 100)

    def _partial(self, partial: Partial) -> None:
        self.partials += 1
        if self.screen.json:
            frames = [json_frame(frame) for frame in partial.frames]
            said = {**attrs.asdict(partial, filter=lambda a, v: a.name != "frames")}
            self.screen.value({"final": False, "partial": {**said, "frames": frames}})
            return
        for frame in partial.frames:
            self.screen.frame(frame, self.raw)
