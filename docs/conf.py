"""How Sphinx makes pages of these files: `make site`."""

project = "OMS"
html_title = "OpenNode Management Server"
extensions = ["myst_parser"]
html_theme = "furo"
html_show_sphinx = False
exclude_patterns = ["_build"]
myst_heading_anchors = 4
smartquotes_action = "qe"  # two hyphens begin an option, and stay two
# Dialects of shells and of TOML in examples are more than highlighting can be strict about.
suppress_warnings = ["misc.highlighting_failure"]
