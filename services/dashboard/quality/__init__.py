"""Quality: defect rates over time with control limits, the comparison of two windows, and the report of a batch."""
