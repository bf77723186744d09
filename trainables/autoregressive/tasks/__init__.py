"""What can be learned: OCR, spelling, translation, word ordering, chunking."""
