"""Stage planners, one family a file; each file has a table PLANNERS from type id to planner."""
