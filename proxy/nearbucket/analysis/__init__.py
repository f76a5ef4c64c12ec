"""What a change of the configuration would do, by a sample of traffic."""
