"""Bad input in bulk: bad plans, bad signals, results of any size, many callers of one key, very long tasks, a flood."""
