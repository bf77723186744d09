"""The network's parts: backbones, the head, losses, and weights from files. Knows no configuration."""
