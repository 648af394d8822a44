"""Defences: victims around victims, what they guarantee, and how they are trained."""
