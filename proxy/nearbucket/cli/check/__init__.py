"""Whether the configuration is valid, and its buckets are as it says."""
