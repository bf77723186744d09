"""Detection: the network on scenes and class images, the search of a scene, and drawings of its result."""
