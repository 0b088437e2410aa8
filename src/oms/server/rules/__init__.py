"""Pure rules: values in, values out, the clock a parameter. Nothing here reads, writes or waits."""
