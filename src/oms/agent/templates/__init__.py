"""Templates: machines packed up as DMTF's OVF, brought in, deployed and made."""
