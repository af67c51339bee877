"""Identify callers by password, session or token, and record their actions in the audit log."""
