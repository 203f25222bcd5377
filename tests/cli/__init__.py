"""
Tests of L{jobroute.cli}.
"""
