"""What grows while a sweep runs: reports, the profile of the slots' time, TensorBoard's event files."""
