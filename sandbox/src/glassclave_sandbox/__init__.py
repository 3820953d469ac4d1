"""What Glassclave is tried against: an enclave machine, a test NSM, a test trust root. Loopback only."""

__version__ = "0.1.0"
