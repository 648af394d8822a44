"""Recognisers, and the generator and discriminator of eyeglasses."""
