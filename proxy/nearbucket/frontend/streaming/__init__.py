"""Streams of objects from the origin's socket to the client's, below aiohttp."""
