"""A whole server for each test, in this process."""

from tests.server.fixtures import folder, impatient, no_task_breaks_unseen, oms, seed

__all__ = ["folder", "impatient", "no_task_breaks_unseen", "oms", "seed"]
