"""The images of a run: splits, augmentation, pictures in files, and images of another kind."""
