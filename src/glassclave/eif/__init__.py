"""The AWS Nitro enclave image format: reading, measuring, writing, describing.

Source of the format: the specification in the README of ``aws/aws-nitro-enclaves-image-format``.
"""
