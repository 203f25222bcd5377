# -*- test-case-name: tests.simulation.test_history -*-
"""
What everybody saw, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from attrs import define, field, frozen


class Note(Protocol):
    """
    Adds to the history of one process.
    """

    def __call__(self, what: str, **said: Any) -> object:
        """
        Note something.

        @param what: one word for it.
        """


@frozen
class Entry:
    """
    One thing that somebody saw or did.

    @ivar number: its place in the history.
    @ivar at: seconds since the beginning.
    @ivar who: the process, with the number of its life: C{a1.2}; or
        C{world}.
    @ivar what: one word for it.
    @ivar said: whatever else there is to say.
    """

    number: int
    at: float
    who: str
    what: str
    said: dict[str, Any]

    def get(self, name: str) -> Any:
        """
        One of the things said, or L{None}.
        """
        return self.said.get(name)

    def __str__(self) -> str:
        said = " ".join(f"{name}={_short(value)}" for name, value in self.said.items())
        return f"{self.at:9.4f}  {self.who:<10} {self.what:<12} {said}".rstrip()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


@define(eq=False)
class History:
    """
    All entries of one run.

    @ivar now: what time it is.
    """

    now: Callable[[], float]
    entries: list[Entry] = field(factory=list)
    _by_word: dict[str, list[Entry]] = field(factory=dict, init=False)

    def add(self, who: str, what: str, **said: Any) -> Entry:
        """
        Note something.
        """
        entry = Entry(len(self.entries), self.now(), who, what, said)
        self.entries.append(entry)
        self._by_word.setdefault(what, []).append(entry)
        return entry

    def of(self, *what: str) -> list[Entry]:
        """
        All entries of these words, in order.
        """
        if len(what) == 1:
            return self._by_word.get(what[0], [])
        found = [entry for word in what for entry in self._by_word.get(word, ())]
        return sorted(found, key=lambda entry: entry.number)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def digest(self) -> str:
        """
        The same for two histories that are the same in every detail.
        """
        hash = blake2b(digest_size=16)
        for entry in self.entries:
            hash.update(f"{entry.at!r} {entry.who} {entry.what} {entry.said!r}\n".encode())
        return hash.hexdigest()


#: Entries that matter to everybody.
COMMON = (
    "born",
    "ready",
    "died",
    "left",
    "freeze",
    "partition",
    "heal",
    "half-open",
    "stall",
    "step",
)


def about(
    entries: Sequence[Entry], jobs: Iterable[str] = (), parts: Iterable[int] = ()
) -> list[Entry]:
    """
    What concerns these jobs and parts, and what happened to everybody
    meanwhile.
    """
    ids, numbers = set(jobs), set(parts)
    concerned = [
        entry
        for entry in entries
        if entry.get("job") in ids
        or entry.get("part") in numbers
        or any(part in numbers for part, _ in entry.get("held") or ())
    ]
    if not concerned:
        return []
    first, last = concerned[0].number, concerned[-1].number
    of_theirs = {entry.number for entry in concerned}
    return [
        entry
        for entry in entries
        if entry.number in of_theirs or (entry.what in COMMON and first <= entry.number <= last)
    ]
