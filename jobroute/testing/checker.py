# -*- test-case-name: tests.simulation.test_checker -*-
"""
Was every promise kept?
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from jobroute.testing import boundaries, promises, retrying, sureties
from jobroute.testing.evidence import Evidence
from jobroute.testing.history import Entry, about
from jobroute.testing.promises import Broken, Promise

#: Everything that is judged, with the number of the README's promise.
PROMISES: dict[Promise, int] = {
    **promises.ALL,
    **retrying.ALL,
    **sureties.ALL,
    **boundaries.ALL,
}


@frozen
class Breach:
    """
    A promise that was broken.

    @ivar promise: which, in words.
    @ivar broken: how.
    @ivar number: of the README's promise; 0 for none.
    """

    promise: str
    broken: Broken
    number: int = 0

    def relevant(self, evidence: Evidence) -> list[Entry]:
        """
        The shortest part of the history that shows it.
        """
        return about(evidence.history.entries, self.broken.jobs, self.broken.parts)


def title(promise: Promise) -> str:
    """
    A promise in one line: the first sentence of its docstring.
    """
    text = " ".join((promise.__doc__ or promise.__name__).split())
    return text.split(". ")[0].rstrip(".")


def judge(evidence: Evidence, which: Iterable[Promise] = PROMISES) -> list[Breach]:
    """
    Judge a run.
    """

    def breaches() -> Iterator[Breach]:
        for promise in which:
            for broken in promise(evidence):
                yield Breach(title(promise), broken, PROMISES.get(promise, 0))

    return list(breaches())
