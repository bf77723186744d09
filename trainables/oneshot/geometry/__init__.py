"""Geometry: boxes, anchors and their maps, and the assignment of anchors to objects. Knows no network."""
