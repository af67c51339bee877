"""Single frames: which were judged lately, how, and why."""
