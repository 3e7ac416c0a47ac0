"""Language models behind the port `Planner`: the prompt, the plan on the wire, the vendors, and a scripted model."""
