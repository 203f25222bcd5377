# -*- test-case-name: tests.agent.test_output -*-
"""
What a program prints: its last part is kept, and all of it is handed on in
chunks, in bounds.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import define, field

#: So many bytes of each stream are kept for the result: the last.
KEPT = 1024 * 1024

#: So many bytes of all streams together are handed on.
STREAMED = 64 * 1024 * 1024

#: So many bytes are handed on at once, without waiting for more.
CHUNK = 64 * 1024

#: So many bytes may wait to be handed on, before nothing is read any more.
PENDING = 4 * CHUNK

#: How long to gather at the beginning, in seconds; later it is this share of
#: the time so far.  So there are less than 10,000 chunks, however long it goes.
FIRST = 0.05
SHARE = 0.002

#: How many characters of the last line are told.
LINE = 200

_NOTE = b"note"


@define
class _Stream:
    """
    One of them.
    """

    total: int = 0
    tail: bytearray = field(factory=bytearray)
    unsent: bytearray = field(factory=bytearray)


@define(eq=False)
class Output:
    """
    All streams of one program.

    @ivar streaming: whether anything is handed on.
    @ivar streamed: how many bytes were.
    """

    streaming: bool = True
    kept: int = KEPT
    most: int = STREAMED
    streamed: int = field(default=0, init=False)
    _full: bool = field(default=False, init=False)
    _streams: dict[str, _Stream] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._streams = {"stdout": _Stream(), "stderr": _Stream(), "records": _Stream()}

    @property
    def pending(self) -> int:
        """
        How many bytes wait to be handed on.
        """
        return sum(len(stream.unsent) for stream in self._streams.values())

    def pause(self, seconds: float) -> float:
        """
        How long to gather before the next chunk.

        @param seconds: how long the program has been running.
        """
        return max(FIRST, seconds * SHARE)

    def put(self, name: str, data: bytes) -> None:
        """
        Something was printed.
        """
        stream = self._streams[name]
        stream.total += len(data)
        stream.tail += data
        if len(stream.tail) > 2 * self.kept:
            del stream.tail[: -self.kept]
        if self.streaming and not self._full:
            stream.unsent += data

    def chunk(self) -> tuple[bytes, ...]:
        """
        What is to be handed on now: the name of a stream and what came from
        it, for each that has something.
        """
        frames: list[bytes] = []
        for name, stream in self._streams.items():
            if not stream.unsent or self._full:
                continue
            room = self.most - self.streamed
            data = bytes(stream.unsent[: min(CHUNK, room)])
            del stream.unsent[: len(data)]
            self.streamed += len(data)
            if data:
                frames += [name.encode("ascii"), data]
            if self.streamed >= self.most:
                self._full = True
                note = f"More than {self.most} bytes are not streamed; the last are in the result."
                frames += [_NOTE, note.encode("ascii")]
        if self._full:
            self.stop()
        return tuple(frames)

    def stop(self) -> None:
        """
        Hand nothing on any more.
        """
        self.streaming = False
        for stream in self._streams.values():
            stream.unsent.clear()

    def last(self, name: str) -> bytes:
        """
        The last part of a stream.
        """
        return bytes(self._streams[name].tail[-self.kept :])

    def total(self, name: str) -> int:
        """
        How many bytes a stream had.
        """
        return self._streams[name].total

    def last_line(self) -> str:
        """
        The last line of what was complained, or else of what was printed.
        """
        for name in ("stderr", "stdout"):
            tail = bytes(self._streams[name].tail[-4096:]).decode("utf-8", "replace")
            lines = [line.strip() for line in tail.splitlines() if line.strip()]
            if lines:
                line = lines[-1]
                return line if len(line) <= LINE else line[: LINE - 1] + "…"
        return ""


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    progress: msgspec.Raw = msgspec.Raw()
    record: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()


_said = msgspec.json.Decoder(_Said)


@define(eq=False)
class Lines:
    """
    What a program writes to C{JOBROUTE_FD}: lines of JSON.

    @ivar most: how many bytes a line may have.
    @ivar records: how many records there were.
    @ivar bad: how many lines were none of the kind.
    @ivar first_bad: what was wrong with the first of them.
    @ivar result: the latest result.
    """

    most: int = 1024 * 1024
    records: int = field(default=0, init=False)
    bad: int = field(default=0, init=False)
    first_bad: str = field(default="", init=False)
    result: bytes | None = field(default=None, init=False)
    _rest: bytearray = field(factory=bytearray, init=False)
    _skipping: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> tuple[bytes | None, list[bytes]]:
        """
        Something was written.

        @return: the latest progress, and the records, all in JSON.
        """
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += rest
        progress, records = None, []
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            said = self._read(line)
            if said is None:
                continue
            if said.progress:
                progress = bytes(said.progress)
            if said.record:
                records.append(bytes(said.record))
            if said.result:
                self.result = bytes(said.result)
        if len(self._rest) > self.most:
            if not self._skipping:
                self.wrong(f"it has more than {self.most} bytes")
            self._skipping = True
            self._rest.clear()
        self.records += len(records)
        return progress, records

    def _read(self, line: bytes) -> _Said | None:
        if not line.strip():
            return None
        try:
            return _said.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            self.wrong(str(e))
            return None

    def wrong(self, why: str) -> None:
        """
        Count a line that says nothing that can be understood.
        """
        self.bad += 1
        self.first_bad = self.first_bad or why

    def describe(self) -> dict[str, Any]:
        """
        What is told of it in a result.
        """
        told: dict[str, Any] = {"records": self.records, "bad_lines": self.bad}
        return {**told, "bad_line": self.first_bad} if self.bad else told
