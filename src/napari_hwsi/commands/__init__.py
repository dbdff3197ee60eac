"""The commands of ``napari-hwsi``, a module each: ``add`` describes it, ``run`` does it."""
