"""What is lost, repeated or left running when something is killed, torn, full, or wrong."""
