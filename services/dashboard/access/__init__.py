"""Let people and programs in, and record who did what."""

from services.dashboard.access.audit import Audit, Audited, AuditEntry
from services.dashboard.web.authorization import Admin, Engineer, Operator, Viewer, anyone, at_least
from services.dashboard.web.roles import Caller, Role

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
