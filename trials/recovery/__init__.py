"""Recovery: how long a task stands still when its worker or the server is killed, and what is kept."""
