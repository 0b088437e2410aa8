"""Container templates: root file systems packed up, brought in, deployed and made."""
