"""Success rates, controls, and reports."""
