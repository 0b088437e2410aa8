"""What a monitoring system is told of the whole fleet, and of OMS itself."""
