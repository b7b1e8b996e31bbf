"""Geometry and intensities of arrays, with numpy and scipy alone."""
