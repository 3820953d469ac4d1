"""Logs of builds, kept beside the image: normalised text, and a record of what it is the log of."""
