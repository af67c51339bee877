"""Who may do what, and who did what: roles, the caller of a request, and the audit log."""

from __future__ import annotations

from services.dashboard.access.audit import Audit, AuditEntry
from services.dashboard.access.dependencies import Admin, Audited, Engineer, Operator, Viewer, anyone, at_least
from services.dashboard.access.roles import Caller, Role

__all__ = [
    "Admin",
    "Audit",
    "AuditEntry",
    "Audited",
    "Caller",
    "Engineer",
    "Operator",
    "Role",
    "Viewer",
    "anyone",
    "at_least",
]
