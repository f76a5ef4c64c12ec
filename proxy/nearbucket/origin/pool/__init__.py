"""Connections to S3 below aiohttp."""
