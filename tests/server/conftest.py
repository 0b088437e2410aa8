"""A whole server for each test, in this process."""

from tests.server.fixtures import (
    cluster,
    database,
    folder,
    impatient,
    no_task_breaks_unseen,
    oms,
    on_each_database,
    seed,
    template,
)

__all__ = ["cluster", "database", "folder", "impatient", "no_task_breaks_unseen", "oms", "seed", "template"]
pytest_generate_tests = on_each_database
