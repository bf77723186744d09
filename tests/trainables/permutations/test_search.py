"""Orders seen, starts that begin anew, and the descent by insertions and swaps."""

import torch

from trainables.permutations import Config
from trainables.permutations.collapse import Collapse, row_seeds
from trainables.permutations.costs import Recorder
from trainables.permutations.descent import all_moves, descend, moved
from trainables.permutations.distributions.plackett_luce import all_orderings
from trainables.permutations.memory import Memory, Seen
from trainables.permutations.tasks.problem import Free, spread_starts
from trainables.permutations.tasks.searches import best_order_score, insertion_descent

WEIGHTS = torch.tensor([[3.0, 1, 4, 1, 5], [9, 2, 6, 5, 3], [5, 8, 9, 7, 9], [3, 2, 3, 8, 4], [6, 2, 6, 4, 3]]).double()


class Linear:
    """Linear ordering: the weights of the pairs in their order."""

    n = 5

    def __call__(self, order):
        later = torch.ones(5, 5).triu(1).double()
        return (WEIGHTS[order.unsqueeze(-1), order.unsqueeze(-2)] * later).sum((-1, -2))


OPTIMUM = float(Linear()(all_orderings(5)).min())


def test_the_moves_are_all_insertions_and_swaps_once():
    order = torch.tensor([[4, 2, 0, 1, 3]])
    moves = all_moves(5)
    found = moved(order, moves.unsqueeze(0))[0].tolist()
    items = order[0].tolist()
    wanted = set()
    for i in range(5):
        for j in range(5):
            left = items[:i] + items[i + 1 :]
            wanted.add((*left[:j], items[i], *left[j:]))
            turned = list(items)
            turned[i], turned[j] = turned[j], turned[i]
            wanted.add(tuple(turned))
    assert {*map(tuple, found)} == wanted - {tuple(items)}
    assert len(found) == len(wanted) - 1
    assert tuple(items) not in map(tuple, found)


def test_descents_keep_to_their_budget_and_find_the_optimum():
    counted = []

    def evaluate(order, active):
        counted.append(order.shape[1] * active)
        return Linear()(order), torch.ones(order.shape[:-1], dtype=torch.bool)

    starts = torch.arange(5).repeat(2, 1, 1)
    values, orders = descend(evaluate, starts, torch.tensor([300, 7]), torch.Generator().manual_seed(0))
    assert sum(counted).tolist() == [300, 7]
    assert float(values[0]) == OPTIMUM
    assert torch.equal(Linear()(orders.unsqueeze(1))[:, 0], values)
    for search in (insertion_descent, best_order_score):
        found = search(Linear(), 3, 400, torch.Generator().manual_seed(1))
        assert found.value.tolist() == [OPTIMUM] * 3
        assert torch.equal(Linear()(found.order.unsqueeze(1))[:, 0], found.value)


def test_orders_seen_are_counted_once_for_all_starts_of_a_run():
    seen = [Seen(), Seen()]
    recorder = Recorder(Linear(), 4, torch.float64, torch.device("cpu"), 2, Memory(5, seen, False, torch.device("cpu")))
    order = torch.stack([torch.arange(5), torch.tensor([1, 0, 2, 3, 4])]).expand(4, 2, 5)
    values = recorder(order)
    torch.testing.assert_close(values, Linear()(order))
    assert recorder.repeats.tolist() == [0.0, 1.0, 0.0, 1.0]
    recorder(order)
    assert recorder.spent == 2.0
    assert recorder.memory.repeats == 1 - 4 / 16
    again = Memory(5, [Seen(), Seen()], False, torch.device("cpu"))
    again.load(recorder.memory.state())
    assert (again.spent, again.repeats) == (recorder.memory.spent, recorder.memory.repeats)


def test_a_start_that_repeats_itself_begins_anew_and_what_it_had_learnt_is_kept():
    policy = Free(torch.arange(8.0).reshape(2, 4).double())
    collapse = Collapse(policy, 0.9, 2.0, row_seeds(3, 2))
    before, best = policy.theta().clone(), torch.tensor([1.0, 2.0])
    restarted = None
    for _ in range(30):
        restarted = collapse.observe(torch.tensor([1.0, 0.5]).double(), best)
        if restarted is not None:
            break
    assert restarted.tolist() == [0]
    assert torch.equal(policy.theta()[1], before[1])
    assert not torch.equal(policy.theta()[0], before[0])
    assert torch.equal(collapse.shown(policy.theta(), best), before)
    assert torch.equal(collapse.shown(policy.theta(), torch.tensor([0.5, 2.0]))[0], policy.theta()[0])


def test_the_first_start_is_at_zero_and_the_others_are_spread():
    theta = spread_starts(torch.ones(6, 3), 3, 0.0, 2.0)
    assert theta[:, 0].tolist() == [0, 2, 2, 0, 2, 2]


def test_what_a_task_starts_from():
    assert Config().estimator == "relax"
    assert not Config().remembers
    tour = Config(task="tsp")
    assert (tour.estimator, tour.remembers, tour.kept_back) == ("rloo", True, 25_000)
    assert Config(task="causal", causal={"score": "joint"}).kept_back == 0
    assert Config(task="causal", dataset="mine.csv").causal.score == "bic"
