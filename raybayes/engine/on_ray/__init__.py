"""Runs a burst on Ray: the controller as an actor, slots as Tune trials or Train worker groups."""
