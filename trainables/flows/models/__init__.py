"""The flow: trunk and head, made from a configuration."""
