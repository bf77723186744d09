"""Commands that are sent to a cluster: what travels, where a job goes, how it is followed and stopped."""
