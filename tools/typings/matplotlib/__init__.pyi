# What is used of matplotlib, which is in one environment only.
rcParams: dict[str, object]
