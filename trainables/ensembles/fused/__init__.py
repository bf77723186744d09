"""Several networks trained at once on one device, of one ensemble or of several trials; equal to rounding.

A small network leaves a processor or a GPU waiting for the next call. With stacked weights one call computes several
networks. Whether that is faster depends on network, batch and device; `timing` measures it.
"""
