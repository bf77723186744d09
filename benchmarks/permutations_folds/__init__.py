"""Rankings by gradients of NDCG beside LightGBM and surrogate losses, five folds."""
