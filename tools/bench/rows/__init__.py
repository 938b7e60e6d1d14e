"""What is measured, a module for each area."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from bench.harness import ROWS as ROWS
from bench.rows import (
    connections as connections,
    locks as locks,
    managers as managers,
    pool as pool,
    processes as processes,
    queues as queues,
    shared as shared,
)
