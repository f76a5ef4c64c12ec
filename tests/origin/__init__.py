"""Tests of ``origin/``."""
