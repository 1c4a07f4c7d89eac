"""Reading images, and making small ones of them."""
