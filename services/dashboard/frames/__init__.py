"""Single frames: which were inspected lately, how, and why."""
