"""Which sampler finds the best configuration, in which kind of space, after how many trials?"""
