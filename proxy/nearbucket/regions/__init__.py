"""AWS's published prefixes, and the region of an address."""
