"""tau2's customer service desks behind MCP servers: gold actions as plans, answers lost, workers killed."""
