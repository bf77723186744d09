"""What runs on a node of a cluster: the program that starts, watches and ends Ray there."""
