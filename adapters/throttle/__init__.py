"""How often something may be tried: counted in this process, or in Redis for all processes."""
