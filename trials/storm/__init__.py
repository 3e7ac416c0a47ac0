"""The storm: tasks with a known right end, a bank that misbehaves, a nemesis, and a checker that counts."""
