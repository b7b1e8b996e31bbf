"""The network and the ways to make it denoise one plane."""
