"""Rules and done-conditions in CEL: pure judgements over plain data, each with its rule and reason."""
