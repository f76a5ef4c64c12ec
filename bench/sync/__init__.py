"""``nearbucket sync`` beside s5cmd, the AWS CLI and rclone."""
