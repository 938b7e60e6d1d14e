"""The project's benchmark: side by side with the standard library, and how cost grows.

    ./tools/hatch run bench            ratios, interleaved with the standard library
    ./tools/hatch run bench growth     cost and memory against size
    ./tools/hatch run bench report     REPORT.md and its pictures from what was measured
    ./tools/hatch run bench all        the three

`rows` says what is measured, `targets` what runs in children, `measure` and `growth`
drive; `ratios` and `slopes` compute and touch nothing else.
"""
