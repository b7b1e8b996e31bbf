"""Image files: read and write arrays with axes, scale and units."""
