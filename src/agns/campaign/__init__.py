"""Many attacks: planned, run through breakdowns, and put in tables."""
