"""The plugin: everything that imports napari or Qt."""
