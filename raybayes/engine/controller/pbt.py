"""Population-based training within a burst: which member continues, which waits, which one a child replaces."""

from __future__ import annotations

from collections.abc import Mapping

from raybayes.contract import Action
from raybayes.engine.controller.queue import TrialQueue
from raybayes.engine.controller.state import SweepState
from raybayes.engine.messages import Decision
from raybayes.search.outcomes.outcome import Outcome, State
from raybayes.search.plan import Plan
from raybayes.search.schedulers.population import Population
from raybayes.seeds import derive
from raybayes.space import Value
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.checkpointing import checkpoints
from raybayes.store.layout import Layout

_ATTEMPTS = 20  # to change a member's configuration within the limits


class Evolution:
    """The members of one population; it opens and closes trials of the sweep."""

    def __init__(
        self, population: Population, layout: Layout, spec: SweepSpec, plan: Plan, state: SweepState, queue: TrialQueue
    ) -> None:
        self._population, self._layout, self._spec, self._plan = population, layout, spec, plan
        self._state, self._queue = state, queue

    def decide(self, number: int, step: int) -> Decision:
        """What a member does after a report: every few steps it is ranked, once the others are as far."""
        if step % self._population.interval:
            return Decision()
        # The members that wait at this step are ranked again now that one more has reached it.
        for other in [t for t in self._queue.trials if t.paused_step == step and t.number != number]:
            if self._replace(other.number, step):
                self._state.close_trial(other.number, step, {}, Outcome(State.PRUNED))
                self._queue.drop_trial(other.number)
        if self._replace(number, step):
            return Decision(Action.PRUNE)
        behind = self._state.remaining or any(other.paused_step < step for other in self._queue.trials)
        return Decision(Action.PAUSE if behind else Action.CONTINUE, checkpoint=True)

    def _replace(self, number: int, step: int) -> bool:
        """Open a child of one of the best members in place of this one, if it is among the worst."""
        state = self._state
        candidates = {trial.number for trial in state.open_trials}
        parent = self._population.choose_parent(state.curves, number, step, self._spec.seed, candidates)
        if parent is None or state.count >= self._spec.trials:
            return False
        checkpoint = checkpoints.find_newest(self._layout, parent, 0, state.owner_of(parent))
        if checkpoint is None or checkpoint.step > step:  # the parent is ahead already, or has stored nothing yet
            return False
        child = state.ask({**self._explored(state.params_of(parent)), **self._plan.fixed_params}, parent)
        self._queue.add_trial(child)
        # A copy, because the parent deletes its own when it writes the next one.
        checkpoints.copy_checkpoint(checkpoint, child.number, 0, state.owner_of(child.number))
        state.add_checkpoint(child.number)
        child.paused_step = checkpoint.step
        return True

    def _explored(self, params: Mapping[str, Value]) -> Mapping[str, Value]:
        """A configuration near this one that keeps the limits; itself if none of some is found."""
        space = self._plan.space
        for attempt in range(_ATTEMPTS):
            place = ("explore", self._state.count, attempt) if attempt else ("explore", self._state.count)
            near = self._population.perturb(space, params, derive(self._spec.seed, *place))
            if space.broken_requirement({**near, **self._plan.fixed_params}) is None:
                return near
        return params
