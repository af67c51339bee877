"""The trainer."""

from __future__ import annotations

from services.trainer.cli import app

if __name__ == "__main__":
    app()
