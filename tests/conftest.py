"""What holds for every test."""

from hypothesis import settings

settings.register_profile("oms", deadline=None)  # how long an example takes says nothing of what it shows
settings.load_profile("oms")
