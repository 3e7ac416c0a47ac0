"""The workflow: a thin shell round the core, its options, and how it is run."""
