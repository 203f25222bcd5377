"""
Tests for L{jobroute.testing}: the simulation and its judge.
"""
