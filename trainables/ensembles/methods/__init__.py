"""One file per method: how its training run differs from an ordinary one, and when it completes a member."""
