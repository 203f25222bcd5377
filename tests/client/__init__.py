"""
Tests for L{jobroute.client}.
"""
