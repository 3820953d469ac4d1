"""Glassclave: enclave images that anyone can see through."""

__version__ = "0.1.0"
