"""
What agents in these tests are asked to do.
"""

from __future__ import annotations

import time

from jobroute.agent import service


@service("hog")
def hog(payload: bytes) -> str:
    """
    Hold the interpreter's lock for so many seconds and more, in one call of C
    code; says for how many.
    """
    digits, took = 100_000, 0.0
    while took < float(payload):
        digits += digits // 2
        began = time.perf_counter()
        pow(3, digits)
        took = time.perf_counter() - began
    return str(took)


@service("stuck", in_reactor=True)
def stuck(payload: bytes) -> bytes:
    """
    Block the reactor of the agent.
    """
    time.sleep(float(payload))
    return payload
