"""Quality over time: defect rates with their limits, what stands out, and what changed."""
