"""The API, declared once: all else is derived from here. Imports msgspec and the standard library only."""
