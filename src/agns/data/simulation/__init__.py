"""Faces, eyeglasses and photos that nobody took: drawn, and seen by a simulated camera."""
