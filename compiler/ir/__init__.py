"""What a network is on its way from torch: typed graphs, and what quantisation makes of them."""
