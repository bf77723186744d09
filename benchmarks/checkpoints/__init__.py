"""What checkpoints cost a trial on a slow storage, and how old the newest one is when the trial dies."""
