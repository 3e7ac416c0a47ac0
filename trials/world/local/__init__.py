"""A real, very small language model on this machine as the support desk's planner: an adversary that means well."""
