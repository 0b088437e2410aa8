"""What measures this host, put together from the agent's settings."""

import os

from oms.agent.config import AgentConfig
from oms.agent.context import Statistics
from oms.agent.events import Events
from oms.agent.facts import Facts
from oms.agent.host import counters
from oms.agent.stats.figures import figures
from oms.agent.stats.history import History
from oms.agent.stats.looks import Looks
from oms.agent.stats.sampler import SERIES, Moment, Sampler
from oms.agent.stats.zabbix import Zabbix


def measuring(config: AgentConfig, facts: Facts, events: Events) -> Statistics:
    """Nothing is measured before the sampler runs. Raises OSError."""

    def tell(now: Moment) -> None:
        told = figures(now, facts.guests(), cpus=os.cpu_count() or 0, uptime_seconds=counters.uptime_seconds())
        events.figures(told)

    history = History(config.home, tuple(SERIES))
    zabbix = Zabbix(*config.zabbix_address) if config.stats == "zabbix" else None
    return Statistics(Sampler(history, Looks(), tell), history, zabbix)
