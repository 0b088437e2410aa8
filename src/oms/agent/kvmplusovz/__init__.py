"""KVMPlusOvzService on this host."""
