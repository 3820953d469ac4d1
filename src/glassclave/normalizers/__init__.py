"""One file per source of variation: what it matches, its canonical form, why that is safe."""
