"""Page templates, read as package data."""
