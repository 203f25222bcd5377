# -*- test-case-name: tests.broker.test_commands -*-
"""
What the broker counts.
"""

from __future__ import annotations

from jobroute.model import Verdict

#: Every counter with what it counts; all begin at 0 in each epoch.
MEANINGS: dict[str, str] = {
    "requests": "requests from clients",
    "requests_refused": "requests that were answered with an error",
    "messages_malformed": "messages on the frontend that were no request",
    "agent_messages_malformed": "messages on the backend that were none",
    "announcements_malformed": "messages on the register socket that were no announcement",
    "strangers": "messages on the backend from an agent that is not registered",
    "answers_held": "answers that had to wait for a client that reads too slowly",
    "answers_dropped": "answers that could not be given to a client",
    "agent_sends_failed": "messages that could not be sent to an agent",
    "jobs_accepted": "jobs accepted, calls included",
    "calls": "jobs that were calls",
    "jobs_existing": "submissions of a job that was there already",
    "deliveries": "attempts given to agents",
    "deliveries_repeated": "attempts sent again because the agent did not have them",
    "attempts_lost": "attempts whose agent or process was lost, or that their agent did not hold",
    "parts_queued_again": "parts that wait for another attempt after one that is over",
    "replies": "final replies of agents that were accepted",
    "replies_refused": "replies that were late, double, or of what was not given to that agent",
    "partials": "partial results accepted",
    "partials_refused": "partial results that came out of order, double or over the limit",
    "registrations": "agents that registered",
    "registrations_refused": "agents that were not taken",
    "registrations_expired": "registrations that were never confirmed",
    "agents_lost": "agents that were lost",
    **{f"verdicts_{v.value}": f"parts with the verdict {v.value}" for v in Verdict},
}


def counters() -> dict[str, int]:
    """
    All counters, at 0.
    """
    return dict.fromkeys(MEANINGS, 0)
