"""Checks of a verdict: pure functions from evidence and policy to named outcomes."""
