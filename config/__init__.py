"""The files that set a worker and its agents up, read into frozen records; what is wrong in them is a ConfigError."""
