"""
What breaks other brokers of this kind, each as one test.

broker killed with parts running, queued, and done with results not fetched
    C{test_kills.BrokerTests.test_nothing_lost}
several clients come back in another order
    C{test_kills.BrokerTests.test_other_order}
work handed in the instant that the broker answers again
    C{test_kills.BrokerTests.test_at_once}
agent dies while the broker is down
    C{test_kills.BrokerTests.test_agent_died_meanwhile}
two crashes in a row, then a new agent
    C{test_kills.BrokerTests.test_numbers}
store cut in half or empty; of another version, unwritable
    C{test_kills.StoreTests.test_wrong}; C{tests.storage.test_schema}, C{tests.storage.test_disks}
broker restarted without its store
    C{test_kills.StoreTests.test_without}
agent frozen past its lease, then thawed
    C{test_kills.AgentTests.test_thawed}
more attempts than agents, one agent only, refused by all, cancelled in the queue
    C{test_rules.AttemptTests}
the queue's numbers are the truth
    C{test_rules.NumberTests}; whatever happens: C{tests.broker.test_dispatcher_model}
history and results after a restart
    C{test_kills.StoreTests.test_history}
function that holds the interpreter; agent whose reactor is stuck
    C{test_kills.AgentTests.test_holds_the_interpreter}, C{test_kills.AgentTests.test_stuck}
replayed and forged messages; malformed ones
    C{test_rules.ForgeryTests}; C{tests.service.test_garbage}, C{tests.protocols.test_anything}
client that does not read its results
    C{tests.protocols.test_frontend.OutboxTests}
name taken, identity in use, no sign of life
    C{test_rules.RegistrationTests}; C{tests.broker.test_registration}
two hundred agents at once
    C{test_kills.AgentTests.test_crowd}
"""
