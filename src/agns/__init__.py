"""Adversarial generative nets: how far eyeglasses can fool a face recogniser."""

__version__ = "0.1.0"
