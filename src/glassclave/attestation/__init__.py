"""Nitro Enclave attestation documents: reading them, and judging them against expected measurements.

Order of work, which is also the order of trust: strict parse, pinned root, certificate chain, signature, and
only then what the document says. Source: AWS, "Nitro Enclaves attestation process" (nsm-api repository).
"""
