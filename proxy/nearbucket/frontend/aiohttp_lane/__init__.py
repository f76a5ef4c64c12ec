"""The whole product on aiohttp: the reference that the faster lanes are held to."""
