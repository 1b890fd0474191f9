"""Rules of review: which traces a person should see, in what order, and when two of them are the same."""
