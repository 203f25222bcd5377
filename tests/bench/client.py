"""
A client that keeps a number of jobs outstanding, and times each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import msgspec
import zmq
from attrs import frozen

_encode = msgspec.json.Encoder().encode


class _Answer(msgspec.Struct):
    id: int
    result: Any = None
    error: str = ""


_decode = msgspec.json.Decoder(_Answer).decode


@frozen
class Timing:
    """
    @ivar seconds: from the first request to the last answer.
    @ivar latencies: of each job, in seconds, sorted.
    """

    seconds: float
    latencies: list[float]

    def percentile(self, share: float) -> float:
        """
        The latency that this share of the jobs was not above.
        """
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


@contextmanager
def connected(url: str) -> Iterator[zmq.Socket[bytes]]:
    """
    A DEALER at a frontend.
    """
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.sndhwm = dealer.rcvhwm = 100_000
    dealer.connect(url)
    try:
        yield dealer
    finally:
        dealer.close(0)
        context.term()


def _receive(dealer: zmq.Socket[bytes]) -> int:
    if not dealer.poll(30_000):
        raise RuntimeError("The broker does not answer.")
    frames = dealer.recv_multipart()
    answer = _decode(frames[1])
    if answer.error:
        raise RuntimeError(answer.error)
    return answer.id


def calls(url: str, jobs: int, outstanding: int, payload: bytes) -> Timing:
    """
    C{CALL}; to a yardstick, which gives the request back, the same bytes.
    """
    began: dict[int, float] = {}
    latencies: list[float] = []
    with connected(url) as dealer:
        start = perf_counter()
        for number in range(jobs):
            if len(began) >= outstanding:
                latencies.append(-began.pop(_receive(dealer)) + perf_counter())
            head = _encode({"command": "CALL", "id": number, "service": "echo"})
            began[number] = perf_counter()
            dealer.send_multipart([b"", head, payload])
        while began:
            latencies.append(-began.pop(_receive(dealer)) + perf_counter())
        seconds = perf_counter() - start
    return Timing(seconds, sorted(latencies))


def submits(url: str, jobs: int, outstanding: int, payload: bytes) -> Timing:
    """
    C{SUBMIT}, and C{WAIT} as soon as it is answered.
    """
    began: dict[int, float] = {}
    latencies: list[float] = []
    prefix = f"b{perf_counter():.6f}".replace(".", "-")
    sent = 0
    with connected(url) as dealer:
        start = perf_counter()
        while sent < jobs or began:
            if sent < jobs and len(began) < outstanding:
                job = f"{prefix}-{sent}"
                head = {"command": "SUBMIT", "id": 2 * sent, "service": "echo", "job": job}
                began[sent] = perf_counter()
                dealer.send_multipart([b"", _encode(head), payload])
                sent += 1
                continue
            number, waited = divmod(_receive(dealer), 2)
            if waited:
                latencies.append(-began.pop(number) + perf_counter())
            else:
                head = {"command": "WAIT", "id": 2 * number + 1, "job": f"{prefix}-{number}"}
                dealer.send_multipart([b"", _encode(head)])
        seconds = perf_counter() - start
    return Timing(seconds, sorted(latencies))


def batches(url: str, jobs: int, batch: int, payload: bytes) -> Timing:
    """
    C{SUBMIT_MANY} in batches, the last job of each waited for.
    """
    latencies: list[float] = []
    prefix = f"m{perf_counter():.6f}".replace(".", "-")
    with connected(url) as dealer:
        start = perf_counter()
        for first in range(0, jobs, batch):
            began = perf_counter()
            many = [
                {"job": f"{prefix}-{first + n}", "frames": [len(payload)]} for n in range(batch)
            ]
            head = {"command": "SUBMIT_MANY", "id": 0, "service": "echo", "jobs": many}
            dealer.send_multipart([b"", _encode(head), payload * batch])
            _receive(dealer)
            for n in range(batch):
                wait = {"command": "WAIT", "id": 1, "job": f"{prefix}-{first + n}"}
                dealer.send_multipart([b"", _encode(wait)])
            for _ in range(batch):
                _receive(dealer)
            latencies.append(perf_counter() - began)
        seconds = perf_counter() - start
    return Timing(seconds, sorted(latencies))
