"""What the outside must offer, named by purpose."""
