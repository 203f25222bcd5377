# -*- test-case-name: tests.simulation.test_checker -*-
"""
What is promised of jobs, each promise a function: it is given the evidence,
and yields how the promise was broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

from attrs import frozen

from jobroute.model import PartRecord, PartState, Verdict
from jobroute.testing.errands import partial_computed
from jobroute.testing.evidence import Evidence, Stored, Work


@frozen
class Broken:
    """
    How a promise was broken.

    @ivar text: a sentence.
    @ivar jobs: the ids of the jobs that it is about.
    @ivar parts: the numbers of the parts.
    """

    text: str
    jobs: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()


Promise = Callable[[Evidence], Iterator[Broken]]


def _of(stored: Stored, text: str) -> Broken:
    numbers = tuple(part.number for part in stored.history.parts)
    return Broken(text, (stored.id,), numbers)


def acknowledged_is_on_disk(evidence: Evidence) -> Iterator[Broken]:
    """
    Acknowledged means on disk.
    """
    for asked, answer in evidence.answers("SUBMIT"):
        number, id = answer.said["number"], asked.said["job"]
        stored = evidence.stored.get(number)
        if stored is None or stored.id != id:
            yield Broken(f"Job {id} was accepted as number {number}, and is not stored.", (id,))
        elif len(stored.history.parts) != answer.said["parts"]:
            yield _of(stored, f"Job {id} was accepted with {answer.said['parts']} parts.")


def verdict_for_every_part(evidence: Evidence) -> Iterator[Broken]:
    """
    Every part of an accepted job reaches exactly one verdict.
    """
    for stored, part, _ in evidence.parts():
        ends = evidence.events(stored, "part.ended", part.number)
        where = f"Part {part.index} of job {stored.id}"
        if part.state is not PartState.DONE or part.verdict is None:
            yield _of(stored, f"{where} has no verdict; it is {part.state.value}.")
        elif len(ends) != 1:
            verdicts = [e.data["verdict"] for e in ends if e.data]
            yield _of(stored, f"{where} ended {len(ends)} times: {verdicts}.")
        elif ends[0].data["verdict"] != part.verdict:
            yield _of(stored, f"{where} is {part.verdict}, its event says {ends[0].data}.")
    for stored in evidence.stored.values():
        if stored.history.ended is None:
            yield _of(stored, f"Job {stored.id} did not end.")


def same_verdict_for_everybody(evidence: Evidence) -> Iterator[Broken]:
    """
    A verdict is the same to everyone who asks, at every time.
    """
    for asked, answer in evidence.answers("WAIT", "RESULT"):
        id = asked.said["job"]
        stored = evidence.by_id(id)
        if stored is None:
            yield Broken(f"Job {id} has an outcome, and is not stored.", (id,))
            continue
        told = answer.said["outcome"]
        if answer.said["command"] == "WAIT" and len(told) != len(stored.history.parts):
            yield _of(stored, f"The outcome of job {id} has {len(told)} parts.")
        for said in told:
            yield from _same(stored, said, f"{answer.who} was told at {answer.at:.3f}")
    for entry in evidence.history.of("part"):
        asked = evidence.asked[entry.who, entry.said["ask"]]
        stored = evidence.by_id(asked.said.get("job") or "")
        if stored is not None:
            yield from _same(stored, entry.said, f"{entry.who} was told at {entry.at:.3f}")


def _same(stored: Stored, said: dict[str, object], whence: str) -> Iterator[Broken]:
    index = said["index"]
    assert isinstance(index, int)
    if index >= len(stored.history.parts):
        yield _of(stored, f"{whence} part {index} of job {stored.id}, which has no such part.")
        return
    part = stored.history.parts[index]
    kept = {
        "verdict": None if part.verdict is None else part.verdict.value,
        "agent": part.agent,
        "attempts": part.attempt,
        "reason": part.reason or None,
        "frames": stored.results[index],
    }
    for name, value in kept.items():
        if (said[name] or None) != (value or None):
            yield _of(
                stored,
                f"Part {index} of job {stored.id}: {whence} {name} {said[name]!r}, and "
                f"{value!r} is stored.",
            )


def verdict_by_the_deadline(evidence: Evidence) -> Iterator[Broken]:
    """
    A verdict is reached by the deadline, if there is a broker then and its
    disk works.
    """
    always = evidence.times.slack + evidence.stepped() + evidence.stalled()
    for stored, part, _ in evidence.parts():
        deadline = stored.history.job.deadline
        late = 0.0 if part.ended is None else part.ended - deadline
        if late <= always:
            continue
        # What a step of the clock makes of these moments is allowed for.
        since = evidence.virtual(deadline) - evidence.stepped()
        until = since + late + 2 * evidence.stepped()
        away = evidence.downtime(since, until) + evidence.frozen("broker", since, until)
        if late > always + away:
            yield _of(stored, f"Part {part.index} of job {stored.id} is {late:.2f} seconds late.")


def no_stale_answer(evidence: Evidence) -> Iterator[Broken]:
    """
    A reply of an earlier attempt, incarnation or epoch is never a verdict.
    """
    for stored, part, result in evidence.parts():
        if part.verdict is not Verdict.SUCCEEDED:
            continue
        works = evidence.works_of(part.number, part.attempt)
        where = f"Part {part.index} of job {stored.id}"
        results = [w for w in works if w.over is not None and w.over.get("kind") == "result"]
        if not results:
            yield _of(stored, f"{where} succeeded, and attempt {part.attempt} gave no result.")
        elif not any(w.over is not None and w.over.said["frames"] == result for w in results):
            yield _of(
                stored,
                f"{where} succeeded with {result!r}, which attempt {part.attempt} did not give.",
            )
        elif part.agent != results[0].who.partition(".")[0]:
            yield _of(stored, f"{where} was done by {results[0].who}, not by {part.agent}.")


def verdict_as_worked(evidence: Evidence) -> Iterator[Broken]:
    """
    A failure or a refusal is what the agent of the last attempt said.
    """
    kinds = {Verdict.FAILED: "failure", Verdict.REFUSED: "refused"}
    for stored, part, result in evidence.parts():
        if result and part.verdict is not Verdict.SUCCEEDED:
            yield _of(stored, f"Part {part.index} of job {stored.id} did not succeed with result.")
        kind = kinds.get(part.verdict) if part.verdict is not None else None
        if kind is None:
            continue
        works = evidence.works_of(part.number, part.attempt)
        full = "partials" in (evidence.limits or ()) and (part.reason or "").startswith("It has")
        if not full and not any(w.over is not None and w.over.get("kind") == kind for w in works):
            yield _of(
                stored,
                f"Part {part.index} of job {stored.id} is {part.verdict}, which attempt "
                f"{part.attempt} did not say.",
            )


def calls_as_worked(evidence: Evidence) -> Iterator[Broken]:
    """
    The outcome of a call is what the agent of its last attempt computed.
    """
    for _, answer in evidence.answers("CALL"):
        job = answer.said["job"]
        for said in answer.said["outcome"]:
            if said["verdict"] != "succeeded" or said.get("omitted"):
                continue
            given = [
                entry.said["frames"]
                for entry in evidence.of_job("ended", job)
                if entry.said["index"] == said["index"]
                and entry.said["attempt"] == said["attempts"]
                and entry.said["kind"] == "result"
            ]
            if said["frames"] not in given:
                yield Broken(f"Call {job} was answered {said['frames']!r}; done: {given}.", (job,))


def attempts_as_allowed(evidence: Evidence) -> Iterator[Broken]:
    """
    No part is begun more often than the job allows.
    """
    for stored, part, _ in evidence.parts():
        allowed = stored.history.job.attempts
        begun = len(evidence.works.get(part.number, ()))
        if part.attempt > allowed or begun > allowed:
            yield _of(
                stored,
                f"Part {part.index} of job {stored.id} had {part.attempt} attempts, was begun "
                f"{begun} times, and may be {allowed} times.",
            )


def attempt_begun_once(evidence: Evidence) -> Iterator[Broken]:
    """
    No attempt is begun twice, whatever is delivered twice.
    """
    for part, works in evidence.works.items():
        seen: dict[int, str] = {}
        for work in works:
            attempt = work.key[1]
            if attempt in seen:
                text = f"Attempt {attempt} of part {part} was begun by {seen[attempt]} and again"
                yield Broken(f"{text} by {work.who}.", (work.entry.said["job"],), (part,))
            seen[attempt] = work.who


#: What an agent says of an attempt that it holds no more.
OVER = ("result", "failure", "refused", "cancelled")


def one_holder(evidence: Evidence) -> Iterator[Broken]:
    """
    While an agent's lease is live nobody else is given its part.
    """
    for part, works in evidence.works.items():
        for earlier, later in permutations(works, 2):
            if not earlier.key < later.key or not (
                earlier.entry.at <= later.entry.at < earlier.until
            ):
                continue
            since = later.entry.at - evidence.times.lease + evidence.times.interval / 2
            renewed = _renewals(evidence, earlier, since, later.entry.at)
            # Another one that comes under the name of one who does not answer takes all it has.
            if renewed and not evidence.displaced(earlier.who, since, later.entry.at):
                yield Broken(
                    f"{later.who} began part {part} at {later.entry.at:.3f} while {earlier.who} "
                    f"was at it, and had renewed its lease at {renewed[-1]:.3f}.",
                    (later.entry.said["job"],),
                    (part,),
                )


def _renewals(evidence: Evidence, work: Work, since: float, until: float) -> list[float]:
    """
    When the broker heard in a span of time that an agent holds an attempt,
    and did not know better at its end.
    """
    renewals: list[float] = []
    for entry in evidence.heard_of(work.who):
        if entry.at > until:
            break
        if (entry.get("part"), entry.get("attempt")) == work.key and entry.said["message"] in OVER:
            # It has let go of it, though its function may go on.
            return []
        over = evidence.cancels.get((entry.said["agent"], *work.key))
        if over is not None and entry.at >= over:
            continue
        if work.key in _held(entry.get("held")) and not evidence.stranger(entry):
            renewals.append(entry.at)
    return [at for at in renewals if since < at < until]


def _held(held: object) -> set[tuple[int, int]]:
    return {tuple(key) for key in held} if isinstance(held, list) else set()


def partials_in_order(evidence: Evidence) -> Iterator[Broken]:
    """
    Whoever waits gets the partial results of an attempt in order, without
    doubles, and of stored jobs without holes.
    """
    stored = {job.id for job in evidence.stored.values()}
    latest: dict[tuple[str, int, int], tuple[int, int]] = {}
    for entry in evidence.history.of("partial"):
        said = entry.said
        place = (entry.who, said["ask"], said["index"])
        attempt, sequence = latest.get(place, (0, 0))
        expected = sequence + 1 if said["attempt"] == attempt else 1
        where = f"{entry.who}, question {said['ask']}, part {said['index']} of job {said['job']}"
        if said["attempt"] < attempt:
            yield Broken(f"{where}: attempt {said['attempt']} after {attempt}.", (said["job"],))
        elif said["sequence"] < expected or (
            # Those of calls are not kept, and may meet a broken connection.
            said["sequence"] > expected and said["job"] in stored
        ):
            text = f"{where}: partial result {said['sequence']} of attempt {said['attempt']}"
            yield Broken(f"{text} came instead of {expected}.", (said["job"],))
        if said["frames"] != partial_computed(
            said["job"], said["index"], said["attempt"], said["sequence"]
        ):
            yield Broken(f"{where}: {said['frames']!r} was never given.", (said["job"],))
        latest[place] = (said["attempt"], said["sequence"])


def partials_complete(evidence: Evidence) -> Iterator[Broken]:
    """
    Whoever waits for a part that is not done gets all partial results of its
    attempt, if nothing happens to broker, client and network meanwhile.
    """
    calm = evidence.calm
    if calm is None or evidence.limits:
        # A client that is told to come back asks again, and may be too late.
        return
    cut = {entry.said["host"] for entry in evidence.history.of("half-open", "partition")}
    seen: dict[tuple[str, int, int, int], int] = {}
    for entry in evidence.history.of("partial"):
        said = entry.said
        key = (entry.who, said["ask"], said["index"], said["attempt"])
        seen[key] = seen.get(key, 0) + 1
    for asked, _ in evidence.answers("WAIT"):
        stored = evidence.by_id(asked.said["job"])
        hosts = {asked.who.partition(".")[0], "broker"}
        if not asked.said["stream"] or stored is None or asked.at < calm or hosts & cut:
            continue
        # What was asked while everybody found each other again may be asked twice.
        if evidence.ready_since is None or evidence.ready_since > asked.at - evidence.times.slack:
            continue
        for part in stored.history.parts:
            if part.ended is None or evidence.over(part.ended) < asked.at + evidence.times.slack:
                continue
            given = len(evidence.gave.get((part.number, part.attempt), ()))
            came = seen.get((asked.who, asked.said["ask"], part.index, part.attempt), 0)
            if part.verdict is Verdict.SUCCEEDED and came != given:
                yield _of(stored, f"{asked.who} was told {came} partial results of {given}.")


def kept_until_told(evidence: Evidence) -> Iterator[Broken]:
    """
    What an agent has finished is handed in as soon as there is a broker.
    """
    calm = evidence.calm
    if calm is None:
        return
    for stored, part, _ in evidence.parts():
        if part.verdict not in (Verdict.EXPIRED, Verdict.LOST) or part.ended is None:
            continue
        if _given(evidence, stored, part):
            # It waited for another attempt.
            continue
        for work in evidence.works_of(part.number, part.attempt):
            life = evidence.lives[work.who]
            patience = max(work.until, calm) + evidence.times.patience
            if (
                work.over is not None
                and work.over.said["kind"] != "cancelled"
                and life.ended is None
                and evidence.over(part.ended) > patience
            ):
                yield _of(
                    stored,
                    f"Part {part.index} of job {stored.id} is {part.verdict.value}, and "
                    f"{work.who} had finished it at {work.until:.3f}.",
                )


def _given(evidence: Evidence, stored: Stored, part: PartRecord) -> bool:
    """
    Whether the outcome of the latest attempt is in the history: it was worth
    another one.
    """
    return any(
        event.attempt == part.attempt
        for verdict in (Verdict.FAILED, Verdict.TIMED_OUT, Verdict.REFUSED, Verdict.LOST)
        for event in evidence.events(stored, f"part.{verdict.value}", part.number)
    )


#: All of them, with their numbers in the README.
ALL: dict[Promise, int] = {
    acknowledged_is_on_disk: 1,
    verdict_for_every_part: 2,
    same_verdict_for_everybody: 2,
    verdict_by_the_deadline: 2,
    no_stale_answer: 3,
    verdict_as_worked: 3,
    calls_as_worked: 8,
    attempts_as_allowed: 4,
    attempt_begun_once: 4,
    one_holder: 4,
    partials_in_order: 5,
    partials_complete: 5,
    kept_until_told: 5,
}
