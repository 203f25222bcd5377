# -*- test-case-name: tests.broker.test_losses -*-
"""
What parts cost: agents that were lost while they worked on one, with the
evidence.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import evolve

from jobroute.broker.parts import Attempt
from jobroute.model import Loss, Past

#: How many losses are kept of one part: the latest.
KEPT = 10

#: How many bytes are kept of what an agent said last.
OUTPUT = 1000

_NOTHING = Past()
_encode = msgspec.json.Encoder().encode


def clipped(value: Any) -> bytes:
    """
    What is kept of what an agent says: JSON or a frame.
    """
    data = value if isinstance(value, bytes | msgspec.Raw) else _encode(value)
    return bytes(memoryview(data)[:OUTPUT])


def counted(attempt: Attempt, at: float, reason: str) -> Past:
    """
    The past of a part whose attempt has just cost its agent's life.
    """
    part = attempt.part
    past = part.past or _NOTHING
    if attempt.output is not None:
        output: str | None = attempt.output.decode("utf-8", "replace")
    elif part.partials:
        output = f"partial result {part.partials}"
    else:
        output = None
    loss = Loss(attempt.agent.name, at, part.job.number, attempt.number, reason, output)
    evidence = (*past.evidence, loss)[-KEPT:]
    return evolve(past, losses=past.losses + 1, evidence=evidence)


def refused(past: Past | None, agent: str) -> Past:
    """
    The past of a part that an agent has just refused.
    """
    past = past or _NOTHING
    if agent in past.refused:
        return past
    return evolve(past, refused=(*past.refused, agent))


def sentence(past: Past) -> str:
    """
    Why a part is quarantined.
    """
    named = ", ".join(f"{loss.agent} (attempt {loss.attempt})" for loss in past.evidence[-5:])
    many = "1 agent its life" if past.losses == 1 else f"{past.losses} agents their lives"
    said = f"It has cost {many}, the latest {named}."
    output = past.evidence[-1].output
    return said if output is None else f"{said} The last that it said: {output}"


def described(past: Past | None) -> dict[str, Any]:
    """
    What clients are told of it.
    """
    if past is None:
        return {"losses": 0, "evidence": [], "refused": []}
    return {
        "losses": past.losses,
        "evidence": [
            {
                "agent": loss.agent,
                "at": loss.at,
                "job": loss.job,
                "attempt": loss.attempt,
                "reason": loss.reason,
                "output": loss.output,
            }
            for loss in past.evidence
        ],
        "refused": list(past.refused),
    }
