"""Faults done to a whole running stack, and one judge of what came of them."""
