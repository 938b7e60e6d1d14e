"""``python -m mp_multiprocessing``: an unchanged program on this package."""

from __future__ import annotations

# Not under a name of its own: the program that runs is to find this namespace empty.
__import__("mp_multiprocessing._main")._main.main()
