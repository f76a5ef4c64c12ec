"""What is counted and logged, and how it is shown."""
