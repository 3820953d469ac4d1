"""A container image or a directory as one ordered file tree."""
