"""``python -m napari_hwsi.training.lessons``."""

import sys

from .slides import main

sys.exit(main())
