"""Mutation tests of the checks: every check must die when it is weakened (``make mutants``)."""
