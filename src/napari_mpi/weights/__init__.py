"""Trained weights: the bundled ones, a lab's own, and the authors' files."""
