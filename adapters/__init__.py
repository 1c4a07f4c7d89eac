"""The parts that plug into the ports, grouped by what they plug into. Each is replaceable."""
