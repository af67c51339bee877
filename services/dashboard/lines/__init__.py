"""Lines: their states, their defect rates, and the accounting of their frames."""
