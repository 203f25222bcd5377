# -*- test-case-name: tests.simulation.test_retrying -*-
"""
What is promised of further attempts, and of parts that cost agents their
lives; in the form of L{jobroute.testing.promises}.
"""

from __future__ import annotations

from collections.abc import Iterator

from jobroute.config import load
from jobroute.model import Retry, Verdict
from jobroute.testing.evidence import Evidence
from jobroute.testing.promises import Broken, Promise

#: After so many lives a part is quarantined, if its job says nothing.
_MAX_LOST = load({"data_dir": "/nonexistent"}).max_lost

#: The events of attempts after which there is another.
_AGAIN = {
    f"part.{verdict.value}": verdict
    for verdict in (Verdict.LOST, Verdict.FAILED, Verdict.TIMED_OUT, Verdict.REFUSED)
}


def quarantined_when_due(evidence: Evidence) -> Iterator[Broken]:
    """
    A part is quarantined when it has cost so many agents their lives, and
    not before.
    """
    for stored, part, _ in evidence.parts():
        most = stored.history.job.max_lost or _MAX_LOST
        losses = 0 if part.past is None else part.past.losses
        where = f"Part {part.index} of job {stored.id}"
        if (part.verdict is Verdict.QUARANTINED) != (losses >= most):
            text = f"{where} is {part.verdict}, cost {losses} agents their lives, and may {most}."
            yield Broken(text, (stored.id,), (part.number,))
        if part.past is None:
            continue
        for loss in part.past.evidence:
            given = [e.agent for e in evidence.events(stored, "part.delivered", part.number)]
            works = evidence.works_of(part.number, loss.attempt)
            others = [work for work in works if work.who.partition(".")[0] != loss.agent]
            if loss.agent not in given or others:
                text = f"{where} is said to have cost {loss.agent} its life, which never had it."
                yield Broken(text, (stored.id,), (part.number,))


def retried_in_time(evidence: Evidence) -> Iterator[Broken]:
    """
    There is another attempt only if the job wants one, and not before it is
    due nor after the deadline.
    """
    stepped = evidence.stepped() > 0 or bool(evidence.history.of("jump"))
    away = evidence.times.slack + evidence.stalled() + evidence.downtime(0.0, evidence.end)
    away += evidence.frozen("broker", 0.0, evidence.end)
    for stored, part, _ in evidence.parts():
        job = stored.history.job
        worth = (job.retry or Retry()).on
        due = 0.0
        for event in stored.history.events:
            if event.part != part.number:
                continue
            where = f"Attempt {event.attempt} of part {part.index} of job {stored.id}"
            if event.kind == "part.delivered":
                late = event.at - job.deadline - away
                if not stepped and (event.at < due - 0.01 or late > 0):
                    text = f"{where} was made at {event.at:.3f}, due at {due:.3f}, and may be"
                    yield Broken(f"{text} until {job.deadline:.3f}.", (stored.id,), (part.number,))
            elif event.kind in _AGAIN:
                due = (event.data or {}).get("due") or 0.0
                if _AGAIN[event.kind] not in worth:
                    text = f"{where} was {_AGAIN[event.kind].value}, which is worth no other."
                    yield Broken(text, (stored.id,), (part.number,))


def given_is_begun(evidence: Evidence) -> Iterator[Broken]:
    """
    What an agent that lives was given, it begins, though the delivery may
    have vanished.
    """
    calm = evidence.calm
    if calm is None:
        return
    lives = {i: evidence.lives[who] for i, who in evidence.incarnations.items()}
    for stored, part, _ in evidence.parts():
        life = lives.get(part.incarnation or "")
        if part.verdict is not Verdict.EXPIRED or part.ended is None or life is None:
            continue
        given = [e.at for e in evidence.events(stored, "part.delivered", part.number)]
        if not given or life.ended is not None or evidence.works_of(part.number, part.attempt):
            continue
        if evidence.virtual(part.ended) > max(evidence.virtual(given[-1]), calm) + (
            evidence.times.patience
        ):
            where = f"Part {part.index} of job {stored.id}"
            text = f"{where} was given to {life.who}, which never began it."
            yield Broken(text, (stored.id,), (part.number,))


#: All of them, with their numbers in the README.
ALL: dict[Promise, int] = {quarantined_when_due: 4, retried_in_time: 4, given_is_begun: 4}
