"""Benchmarks: what Lastmile costs over bare Temporal, measured side by side in one run. `make bench` runs them."""
