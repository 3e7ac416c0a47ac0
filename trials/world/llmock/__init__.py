"""llmock, which speaks both vendors' protocols, fails in every way that they do, and grades its client."""
