"""Bringing targets up to their origin: what, with what to show for it."""
