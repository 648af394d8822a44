"""The tab Physical: photos of a worn marked frame, its marks, and frames laid over it."""
