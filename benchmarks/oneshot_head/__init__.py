"""The head of the one-shot detector, side by side with the layout of the published code."""
