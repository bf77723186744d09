"""The shared trunk against full passes, and own layers against a library's Glow."""
