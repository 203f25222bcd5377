"""
Tests of L{jobroute.protocols}.
"""
