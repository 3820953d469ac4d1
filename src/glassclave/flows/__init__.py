"""Use cases, one per file. Flows join rooms and call other flows only downward."""
