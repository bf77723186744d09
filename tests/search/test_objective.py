"""What an objective is called, which way it improves, and how it becomes a loss."""

from raybayes.search.objective import Objective

NLL, ACCURACY = Objective("nll", "minimize", "nats"), Objective("accuracy", "maximize")


def test_labels_hold_the_unit_if_there_is_one():
    assert (NLL.label, ACCURACY.label) == ("nll (nats)", "accuracy")
    assert (NLL.better, ACCURACY.better) == ("lower is better", "higher is better")


def test_a_loss_is_smaller_where_the_value_is_better():
    assert (NLL.loss(3.0), ACCURACY.loss(3.0)) == (3.0, -3.0)
    assert (NLL.sign, ACCURACY.sign) == (1.0, -1.0)


def test_a_unit_makes_no_other_objective():
    assert Objective("nll", "minimize") == NLL
    assert Objective("nll", "maximize") != NLL
