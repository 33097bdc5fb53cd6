"""limits.py - after how many seconds a command of a test is taken to hang; see hang_seconds in support.h."""

import os

PATIENCE = float(os.environ.get("TEST_PATIENCE", 10))
HANG_SECONDS = 60 * PATIENCE
