"""The HTTP face: one module per noun, its routes with their schemas above them."""
