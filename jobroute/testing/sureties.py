# -*- test-case-name: tests.simulation.test_checker -*-
"""
What is promised of agents, restarts and answers; in the form of
L{jobroute.testing.promises}.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from jobroute.model import Verdict
from jobroute.testing.evidence import Evidence
from jobroute.testing.promises import Broken, Promise

#: With which codes a question may be refused.
REFUSALS: dict[str, tuple[str, ...]] = {
    "SUBMIT": ("no-such-agent", "not-enough-agents", "job-conflict"),
    "CALL": ("no-such-agent", "not-enough-agents", "unknown-outcome"),
    "WAIT": ("no-such-job", "wait-timeout"),
    "RESULT": ("no-such-job", "not-done", "bad-property"),
    "CANCEL": ("no-such-job",),
    "INPUT": ("no-such-job", "not-running", "unknown-outcome"),
    "JOB": ("no-such-job",),
    "WHY": ("no-such-job",),
}

#: Seconds for which a broker may stand still and not notice: no longer than
#: between two of its ticks that are late.
BLINK = 0.35

#: And those with which any may be, while there is trouble.
ALWAYS = ("storage-unavailable", "stopping", "broker-lost")

#: And those of a broker whose limits are small, at any time.
FULL = ("busy", "storage-unavailable", "too-large")


def every_question_answered(evidence: Evidence) -> Iterator[Broken]:
    """
    Every question has exactly one final answer.
    """
    answers: dict[tuple[str, int], int] = {}
    for entry in evidence.history.of("answered", "refused"):
        key = (entry.who, entry.said["ask"])
        answers[key] = answers.get(key, 0) + 1
    for key, asked in evidence.asked.items():
        count = answers.get(key, 0)
        life = evidence.lives.get(asked.who)
        died = life is not None and life.ended is not None
        if count > 1 or (count == 0 and evidence.finished and not died):
            job = asked.get("job")
            yield Broken(
                f"{asked.who}'s question {key[1]}, {asked.said['command']} {job or ''}, has "
                f"{count} answers.",
                () if job is None else (job,),
            )


def refused_for_a_reason(evidence: Evidence) -> Iterator[Broken]:
    """
    A question is refused for a reason that its command can have.
    """
    calm = [entry.at for entry in evidence.history.of("calm")]
    accepted: dict[str | None, float] = {}
    for submitted, answer in evidence.answers("SUBMIT"):
        accepted.setdefault(submitted.said["job"], answer.at)
    for asked, refusal in evidence.refusals():
        command, code = asked.said["command"], refusal.said["code"]
        allowed = REFUSALS.get(command, ())
        if not calm or asked.at < calm[0]:
            allowed += ALWAYS
        if evidence.limits is None or evidence.limits:
            allowed += FULL
        job = asked.get("job")
        if code not in allowed:
            text = f"{asked.who}'s {command} {job or ''} was refused: {code}."
            yield Broken(f"{text} {refusal.said['text']}", () if job is None else (job,))
        elif code == "no-such-job" and accepted.get(job, asked.at) < asked.at:
            yield Broken(f"{asked.who} was told that job {job} does not exist.", (job,))


def same_id_same_job(evidence: Evidence) -> Iterator[Broken]:
    """
    The same id is the same job.
    """
    new: dict[str, int] = {}
    numbers: dict[str, int] = {}
    plans: dict[str, object] = {}
    for asked, answer in evidence.answers("SUBMIT"):
        id, number = asked.said["job"], answer.said["number"]
        new[id] = new.get(id, 0) + (not answer.said["existing"])
        plan = evidence.plan(asked)
        if numbers.setdefault(id, number) != number:
            yield Broken(f"Job {id} has the numbers {numbers[id]} and {number}.", (id,))
        if plans.setdefault(id, plan) != plan:
            yield Broken(f"Another job was accepted as {id}.", (id,))
        if new[id] > 1:
            yield Broken(f"Job {id} was new more than once.", (id,))


def numbers_never_again(evidence: Evidence) -> Iterator[Broken]:
    """
    No number of a job or a part is ever another's.
    """
    parts: dict[int, tuple[str, int]] = {}
    for entry in evidence.history.of("began"):
        said = entry.said
        place = (said["job"], said["index"])
        if parts.setdefault(said["part"], place) != place:
            text = f"Part {said['part']} is of {parts[said['part']]} and {place}."
            yield Broken(text, (said["job"],), (said["part"],))
    for stored, part, _ in evidence.parts():
        place = (stored.id, part.index)
        if parts.setdefault(part.number, place) != place:
            text = f"Part {part.number} is of {parts[part.number]} and {place}."
            yield Broken(text, (stored.id,), (part.number,))
    jobs = {number: stored.id for number, stored in evidence.stored.items()}
    for _, answer in evidence.answers("CALL"):
        number, id = answer.said["number"], answer.said["job"]
        if jobs.setdefault(number, id) != id:
            yield Broken(f"Job {number} is {jobs[number]} and {id}.", (id, jobs[number]))


def agents_keep_their_numbers(evidence: Evidence) -> Iterator[Broken]:
    """
    An agent has the same number in every epoch, and no other has it.
    """
    numbers: dict[str, int] = {}
    for entry in evidence.history.of("said"):
        if entry.said["message"] != "welcome":
            continue
        who = evidence.incarnations.get(entry.said["agent"], "?")
        name, number = who.partition(".")[0], entry.said["number"]
        if numbers.setdefault(name, number) != number:
            yield Broken(f"Agent {name} has the numbers {numbers[name]} and {number}.")
        others = [other for other, n in numbers.items() if n == number and other != name]
        if others:
            yield Broken(f"Agents {name} and {others[0]} have the number {number}.")


def epochs_grow(evidence: Evidence) -> Iterator[Broken]:
    """
    Each life of the broker is a greater epoch.
    """
    latest = 0
    for entry in evidence.history.of("ready"):
        epoch = entry.said["epoch"]
        if epoch <= latest:
            yield Broken(f"{entry.who} is epoch {epoch} after {latest}.")
        latest = max(latest, epoch)


def nothing_for_suspects(evidence: Evidence) -> Iterator[Broken]:
    """
    A restored agent gets no work until it has been heard in this epoch.
    """
    seen: set[tuple[str, str]] = set()
    for entry in evidence.history.of("heard", "said"):
        place = (entry.who, entry.said["agent"])
        if entry.what == "heard":
            seen.add(place)
        elif entry.said["message"] == "deliver" and place not in seen:
            part = entry.said["part"]
            yield Broken(
                f"{entry.who} gave part {part} to an agent that it had not heard.",
                (entry.said["job"],),
                (part,),
            )


def lost_for_a_reason(evidence: Evidence) -> Iterator[Broken]:
    """
    No attempt is lost while its agent lives, is heard, and holds it.
    """
    for stored, part, _ in evidence.parts():
        losses = [e.attempt for e in evidence.events(stored, "part.lost", part.number)]
        if part.verdict is Verdict.LOST:
            losses.append(part.attempt)
        for attempt in losses:
            for work in evidence.works_of(part.number, attempt):
                if _heard_throughout(evidence, work.who, (part.number, attempt)):
                    yield Broken(
                        f"Attempt {attempt} of part {part.index} of job {stored.id} was lost, "
                        f"and {work.who} lived, was heard and held it.",
                        (stored.id,),
                        (part.number,),
                    )


def _heard_throughout(evidence: Evidence, who: str, key: tuple[int, int]) -> bool:
    """
    Whether an agent lived and finished an attempt, and from the delivery on
    neither it was silent for a lease nor its beats about the attempt.  A
    broker that was started meanwhile can only know what was said to it.
    """
    delivered = [
        entry.at
        for entry in evidence.history.of("said")
        if entry.said["message"] == "deliver" and (entry.said["part"], entry.said["attempt"]) == key
    ]
    if evidence.lives[who].ended is not None or not delivered:
        return False
    if key not in evidence.lost_at and evidence.stepped():
        # Its broker died before it told, and nobody knows by which clock it was.
        return False
    # A delivery that vanished was one, too.
    delivered += [
        entry.at
        for entry in evidence.history.of("event")
        if entry.said["kind"] == "part.delivered"
        and (entry.said["part"], entry.said["attempt"]) == key
    ]
    delivered.sort()
    lost = evidence.lost_at.get(key, evidence.end)
    if evidence.displaced(who, delivered[0], lost):
        return False
    since, broker = delivered[0], ""
    for entry in evidence.history.of("ready"):
        if delivered[0] < entry.at <= lost:
            since, broker = entry.at, entry.who
    known = [
        entry
        for entry in evidence.heard_of(who)
        if not evidence.stranger(entry) and broker in ("", entry.who)
    ]
    over = [
        entry.at
        for entry in known
        if (entry.get("part"), entry.get("attempt")) == key
        and entry.said["message"] in ("result", "failure", "refused")
    ]
    if not over:
        return False
    # A result that is not complete does not count, and has to be held.
    until = min(over[0], lost) if key not in evidence.lost_at else lost
    before = [entry.at for entry in known if entry.at <= since]
    meanwhile = [entry for entry in known if since < entry.at <= until]
    named = [e.at for e in meanwhile if key in [tuple(held) for held in e.get("held") or ()]]
    heard = [*before[-1:], *(entry.at for entry in meanwhile), until]
    if broker:
        # All that counts is that it came back in time, and was heard from then on.
        if not named or named[0] - since > evidence.times.grace * 0.9:
            return False
        return not (_lapsed(evidence, heard) or _lapsed(evidence, [*named, until]))
    return not (_lapsed(evidence, heard) or _lapsed(evidence, [since, *named, until]))


def _lapsed(evidence: Evidence, moments: list[float]) -> bool:
    """
    Whether there was a lease between two of these moments in which the
    broker was not frozen.
    """
    return any(
        _listened(evidence, earlier, later) > evidence.times.lease * 0.9
        for earlier, later in pairwise(moments)
    )


def _listened(evidence: Evidence, since: float, until: float) -> float:
    """
    For how many seconds of a span the broker listened, as far as it knows.
    """
    frozen = evidence.frozen("broker", since, until)
    return until - since - (frozen if frozen > BLINK else 0.0)


def known_while_heard(evidence: Evidence) -> Iterator[Broken]:
    """
    No agent is forgotten before it was silent for a whole lease in which the
    broker listened.
    """
    heard: dict[tuple[str, str], float] = {}
    welcome: set[tuple[str, str]] = set()
    for entry in evidence.history.of("heard", "said"):
        place = (entry.who, entry.said["agent"])
        message = entry.said["message"]
        if message in ("unregister", "refuse"):
            welcome.discard(place)
        elif message == "welcome":
            welcome.add(place)
        elif entry.what == "heard" and evidence.stranger(entry):
            if place not in welcome:
                continue
            welcome.discard(place)
            since = heard[place]
            silence = _listened(evidence, since, entry.at)
            who = evidence.incarnations.get(entry.said["agent"], "?")
            if silence < evidence.times.lease * 0.9 and not evidence.displaced(
                who, since, entry.at + evidence.times.slack
            ):
                yield Broken(
                    f"{entry.who} had forgotten {who} at {entry.at:.3f}, after {silence:.3f} "
                    "seconds of silence."
                )
        elif entry.what == "heard":
            since = heard.get(place, entry.at)
            silence = _listened(evidence, since, entry.at)
            if message == "pong" and silence >= evidence.times.lease * 0.9:
                # It may have been forgotten before, and is coming back.
                welcome.discard(place)
            heard[place] = entry.at


def cancelled_is_not_delivered(evidence: Evidence) -> Iterator[Broken]:
    """
    Nothing of a cancelled job is delivered once the cancel was answered.
    """
    for asked, answer in evidence.answers("CANCEL"):
        job = asked.said["job"]
        if asked.said["index"] is not None:
            continue
        for entry in evidence.of_job("said", job):
            if entry.number > answer.number and entry.said["message"] == "deliver":
                text = f"Part {entry.said['part']} of job {job} was delivered after its cancel"
                yield Broken(f"{text} was answered.", (job,), (entry.said["part"],))


def nothing_broke(evidence: Evidence) -> Iterator[Broken]:
    """
    Nothing met a bug.
    """
    for text in evidence.broken:
        yield Broken(text)
    for entry in evidence.history.of("unready"):
        yield Broken(f"{entry.who} could not start: {entry.said['reason']}")


#: All of them, with their numbers in the README.
ALL: dict[Promise, int] = {
    every_question_answered: 9,
    refused_for_a_reason: 9,
    same_id_same_job: 6,
    numbers_never_again: 7,
    agents_keep_their_numbers: 7,
    epochs_grow: 7,
    nothing_for_suspects: 7,
    lost_for_a_reason: 4,
    known_while_heard: 4,
    cancelled_is_not_delivered: 1,
    nothing_broke: 9,
}
