"""Many files: resumable, shared among processes, and each on its own."""
