"""Geometry and intensities of arrays, with numpy alone."""
