"""A head on a frozen backbone: cached features, the layer search, the convex fit."""
