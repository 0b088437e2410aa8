"""The server: one endpoint for people and programs, one bus to the hosts, one database that is the truth."""
