"""The configuration: every setting once, and where settings are read from."""
