"""StatsService on this host: what is measured all the time, what is remembered of it, and what is told."""
