"""Tables, figures and the page of a sweep, made from stored data only."""
