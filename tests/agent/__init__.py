"""
The tests of agents.
"""
