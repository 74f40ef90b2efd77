"""Where time goes: a profile of each node beside the unprofiled time, and what the machine could do at best."""

from .run import profile
from .types import Profile, Row

__all__ = ["Profile", "Row", "profile"]
