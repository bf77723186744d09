"""The networks, built without touching the global random generators."""
