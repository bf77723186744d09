"""Population-based training within a burst: which member goes on, which waits, and which makes room for a child."""

from __future__ import annotations

from raybayes.contract import Action
from raybayes.engine.controller.queue import TrialQueue
from raybayes.engine.controller.state import SweepState
from raybayes.engine.messages import Decision
from raybayes.search.outcomes.outcome import Outcome, State
from raybayes.search.plan import Plan
from raybayes.search.schedulers.population import Population
from raybayes.seeds import derive
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.checkpointing import checkpoints
from raybayes.store.layout import Layout


class Evolution:
    """The members of one population; it opens and closes trials in the burst's books."""

    def __init__(
        self, population: Population, layout: Layout, spec: SweepSpec, plan: Plan, state: SweepState, queue: TrialQueue
    ) -> None:
        self._population, self._layout, self._spec, self._plan = population, layout, spec, plan
        self._state, self._queue = state, queue

    def judge(self, number: int, step: int) -> Decision:
        """What a member does after a report: it is ranked every few steps, once the others are as far."""
        if step % self._population.interval:
            return Decision()
        reached = self._queue.reached
        # The members that wait at this step are ranked again now that one more has reached it.
        for other in [other for other in self._queue.trials if reached.get(other) == step and other != number]:
            if self._replace(other, step):
                self._state.close(other, step, {}, Outcome(State.PRUNED))
                self._queue.drop(other)
        if self._replace(number, step):
            return Decision(Action.PRUNE)
        behind = self._state.remaining or any(reached.get(other, 0) < step for other in self._queue.trials)
        return Decision(Action.PAUSE if behind else Action.CONTINUE, checkpoint=True)

    def _replace(self, number: int, step: int) -> bool:
        """Let a child of one of the best take the place of a member, if it is among the worst."""
        state = self._state
        parent = self._population.parent(state.curves, number, step, self._spec.seed, set(state.params))
        if parent is None or state.asked >= self._spec.trials:
            return False
        checkpoint = checkpoints.newest(self._layout, parent, 0)
        if checkpoint is None or checkpoint.step > step:  # the parent is ahead already, or has nothing to give yet
            return False
        seed = derive(self._spec.seed, "explore", state.asked)
        moved = self._population.perturbed(self._plan.space, state.study.params(parent), seed)
        child = state.ask({**moved, **self._plan.fixed_params}, parent)
        self._queue.enter(child)
        # A copy, because the parent's own goes when it writes the next.
        checkpoints.clone(checkpoint, child, 0)
        state.holders.add(child)
        self._queue.reached[child] = checkpoint.step
        return True
