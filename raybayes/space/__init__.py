"""Search spaces: a flat table of dotted names, each with a range and, optionally, a condition.

Example:
    >>> from raybayes.space import Choice, Float, Int, Space
    >>> space = Space({
    ...     "lr": Float(1e-3, 1.0, log=True),
    ...     "method": Choice("single", "sse"),
    ...     "sse.cycles": Int(2, 8, when={"method": "sse"}),
    ... })
    >>> space.active({"method": "single"})
    ('lr', 'method')
    >>> space.active({"method": "sse"})
    ('lr', 'method', 'sse.cycles')
"""

from raybayes.space.parameters import Choice, Float, Int, Parameter, When
from raybayes.space.space import Space
from raybayes.space.values import Value

__all__ = ["Choice", "Float", "Int", "Parameter", "Space", "Value", "When"]
