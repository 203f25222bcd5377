# -*- test-case-name: tests.torture.test_tally -*-
"""
What can be counted while a torture goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attrs import define, field

from jobroute.testing.torture.notes import Line, Tail, files


@define(eq=False)
class Tally:
    """
    Counts what the processes note.

    @ivar accepted: jobs.
    @ivar verdicts: parts with each verdict.
    @ivar open: jobs that have no verdict yet.
    @ivar questions: how many were asked.
    @ivar answers: how many of them have their final answer.
    @ivar there: the lives of processes that have said that they are there.
    @ivar rested: the lives of clients that have nothing left to do.
    @ivar bugs: what was logged as a bug.
    """

    _folder: Path
    accepted: int = field(default=0, init=False)
    verdicts: Counter[str] = field(factory=Counter, init=False)
    open: int = field(default=0, init=False)
    questions: int = field(default=0, init=False)
    answers: int = field(default=0, init=False)
    there: set[str] = field(factory=set, init=False)
    rested: set[str] = field(factory=set, init=False)
    bugs: list[str] = field(factory=list, init=False)
    _tails: dict[Path, Tail] = field(factory=dict, init=False)
    _over: set[Path] = field(factory=set, init=False)

    def read(self) -> None:
        """
        Count what is new.
        """
        for line in self._lines():
            self._count(line)

    def _lines(self) -> Iterator[Line]:
        lives: dict[str, list[tuple[int, Path]]] = {}
        for path in files(self._folder):
            if path not in self._over:
                name, _, life = path.stem.partition(".")
                lives.setdefault(name, []).append((int(life or 0), path))
        for paths in lives.values():
            # Nobody writes to those of earlier lives any more.
            *earlier, latest = (path for _, path in sorted(paths))
            for path in (*earlier, latest):
                yield from self._tails.setdefault(path, Tail(path)).lines()
            self._over.update(earlier)

    def _count(self, line: Line) -> None:
        said = line.said
        match line.what:
            case "event":
                self.open = said["open"]
                if said["kind"] == "job.accepted":
                    self.accepted += 1
                elif said["kind"] == "part.ended":
                    self.verdicts[said["verdict"]] += 1
            case "asked":
                self.questions += 1
                self.there.add(line.who)
            case "answered" | "refused":
                self.answers += 1
            case "ready":
                self.there.add(line.who)
            case "incarnation":
                self.there.add(line.who)
            case "rested":
                self.rested.add(line.who)
            case "bug":
                self.bugs.append(f"{line.who}: {said['text']}")
