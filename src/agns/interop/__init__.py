"""Attacks with frames, as other libraries call attacks."""
