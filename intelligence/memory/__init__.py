"""What the machine has, what a job needs, and the plan that fits one onto the other."""

from .plan import MemoryPlan, Resources

__all__ = ["MemoryPlan", "Resources"]
