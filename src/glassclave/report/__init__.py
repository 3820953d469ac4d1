"""Records made readable: text for terminals and logs, pages for browsers. Sees records, never the world."""
