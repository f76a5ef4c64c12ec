"""The origin bucket: asking it for objects, and what its answers mean to clients."""
