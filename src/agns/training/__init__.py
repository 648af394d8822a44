"""Training loops, one a file."""
