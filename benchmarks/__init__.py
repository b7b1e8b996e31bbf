"""Measurements of quality and speed; each module is one command."""
