"""Scripts that print every figure the documentation claims, set as the server is."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
