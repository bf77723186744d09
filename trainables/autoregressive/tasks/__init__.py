"""The tasks: OCR, spelling, translation, word ordering, chunking."""
