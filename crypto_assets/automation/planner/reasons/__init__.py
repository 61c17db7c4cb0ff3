"""Why something should be materialised: one file a reason, each looks at the state and hands wanted_days to the planner.

No reason makes a run, cuts ranges or counts attempts.
"""
