"""What is known of the copies in the target buckets."""
