"""What a consumer demands, and the verdict. Pure: bytes and records in, checks out."""
