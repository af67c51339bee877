"""The gateway: reads verdicts on frames, decides once about each part, and sends the decisions to the factory."""
