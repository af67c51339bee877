"""The gateway: verdicts on frames in, one decision per part out, to whatever the factory speaks."""
