"""Names of files that stand beside each other. Loads nothing, for whoever only wants to look."""

from __future__ import annotations

from pathlib import Path


def measurements_file(image: Path) -> Path:
    """Where the measurements of ``image`` stand: ``app.measurements.json`` beside ``app.eif``."""
    return image.with_name(image.name.removesuffix(".eif") + ".measurements.json")
