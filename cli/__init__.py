"""The command line: one file for each group of verbs. It talks to people; it decides nothing."""
