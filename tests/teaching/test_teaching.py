"""The arithmetic of notebook 09 against numbers that were not made by it."""

import numpy as np
import pytest

from workbench.errors import InputError
from workbench.teaching import affine, autodiff, mlp, optimizers


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(3)
    x = rng.random((40, 10))
    return mlp.init((10, 12, 7, 2), seed=1), x, (x.sum(axis=1) > 5).astype(int)


def test_forward_pass_by_hand():
    params = ((np.array([[1.0, -1.0], [2.0, 0.5]]), np.array([0.5, 0.0])), (np.eye(2), np.zeros(2)))
    trace = mlp.forward(params, np.array([[1.0, 2.0]]))
    assert trace.sums[0].tolist() == [[5.5, 0.0]]
    assert trace.activations[1].tolist() == [[5.5, 0.0]]
    assert trace.probabilities[0, 0] == pytest.approx(1 / (1 + np.exp(-5.5)))


def test_losses_of_known_probabilities():
    params = ((np.zeros((3, 4)), np.zeros(4)),)  # equal probabilities of four classes
    x, labels = np.ones((5, 3)), np.array([0, 1, 2, 3, 0])
    assert mlp.loss(params, x, labels) == pytest.approx(np.log(4))
    assert mlp.loss(params, x, labels, "mse") == pytest.approx((0.75**2 + 3 * 0.25**2) / 4)
    with pytest.raises(InputError, match="cross-entropy, mse"):
        mlp.loss(params, x, labels, "hinge")


def test_softmax_does_not_overflow():
    assert mlp.softmax(np.array([[1e4, 0.0]])).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("kind", mlp.LOSSES)
def test_gradients_agree_with_the_complex_step_everywhere(case, kind):
    params, x, labels = case
    found = mlp.flatten(mlp.gradients(params, x, labels, kind))
    numeric = mlp.complex_step(params, x, labels, np.arange(found.size), kind)
    assert np.abs(found - numeric).max() < 1e-15
    assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize("kind", mlp.LOSSES)
def test_gradients_agree_with_autograd(case, kind):
    pytest.importorskip("torch")
    params, x, labels = case
    other = autodiff.differentiate(params, x, labels, kind, framework="torch")
    assert other.loss == pytest.approx(mlp.loss(params, x, labels, kind), rel=1e-12)
    difference = mlp.flatten(other.gradients) - mlp.flatten(mlp.gradients(params, x, labels, kind))
    assert np.abs(difference).max() < 1e-14


def test_unknown_framework_is_one_line(case):
    with pytest.raises(InputError, match="tensorflow, torch"):
        autodiff.differentiate(*case, framework="jax")


def test_flatten_and_back(case):
    params = case[0]
    again = mlp.unflatten(mlp.flatten(params), params)
    assert all(np.array_equal(a, b) for one, two in zip(params, again, strict=True) for a, b in zip(one, two,
                                                                                                    strict=True))


def test_scores_of_a_known_table():
    labels = np.array([1] * 20 + [0] * 80)
    said = np.array([1] * 15 + [0] * 5 + [1] * 10 + [0] * 70)
    found = mlp.scores(said, labels)
    assert found.confusion.tolist() == [[70, 10], [5, 15]]
    assert found.accuracy[0] == pytest.approx(0.85)
    assert found.recall[0] == pytest.approx(0.75)
    assert found.precision[0] == pytest.approx(0.6)
    assert found.f1[0] == pytest.approx(2 / 3)
    for value, low, high in found[:4]:
        assert low < value < high


def test_adam_first_step_is_the_rate_whatever_the_gradient():
    for size in (1e-3, 1.0, 1e3):
        state = optimizers.adam_step(np.array([size]), None, optimizers.Adam(rate=0.02))
        assert state.update[0] == pytest.approx(0.02, rel=1e-4)


def test_adam_without_correction_starts_far_too_fast_or_slow():
    state = optimizers.adam_step(np.array([1.0]), None, optimizers.Adam(rate=0.02, correct=False))
    assert state.update[0] == pytest.approx(0.02 * 0.1 / np.sqrt(0.001), rel=1e-4)


def test_adam_agrees_with_torch_over_many_steps(case):
    torch = pytest.importorskip("torch")
    params, x, labels = case
    run = optimizers.train(params, x, labels, optimizers.Adam(rate=0.01), 25)
    weight = torch.tensor(mlp.flatten(params), requires_grad=True)
    theirs = torch.optim.Adam([weight], lr=0.01)
    for _ in range(25):
        now = mlp.unflatten(weight.detach().numpy(), params)
        weight.grad = torch.tensor(mlp.flatten(mlp.gradients(now, x, labels)))
        theirs.step()
    assert np.abs(run.weights - weight.detach().numpy()).max() < 1e-9


def test_training_learns_and_remembers_what_it_did(case):
    params, x, labels = case
    run = optimizers.train(params, x, labels, optimizers.Descent(0.5), 60, held=(x, labels), watch=3)
    assert run.losses[-1] < 0.8 * run.losses[0]
    assert run.losses.shape == run.held_out.shape == (61,)
    assert np.allclose(run.update, 0.5 * run.gradient)
    assert run.mean.size == 0


def test_affine_grid_holds_zero_and_its_range():
    grid = affine.fit(-1.0, 3.0)
    assert grid.scale == pytest.approx(4 / 255)
    assert affine.dequantize(affine.quantize(0.0, grid), grid) == 0.0
    assert grid.low == pytest.approx(-1, abs=grid.scale) and grid.high == pytest.approx(3, abs=grid.scale)
    assert affine.fit(2.0, 6.0).low == pytest.approx(0.0)  # zero has to be on it


def test_symmetric_grid_has_zero_point_zero():
    grid = affine.fit(-1.0, 3.0, symmetric=True)
    assert (grid.zero_point, grid.lowest, grid.highest) == (0, -127, 127)
    assert grid.scale == pytest.approx(3 / 127)


def test_rounding_error_is_what_theory_says_and_falls_fourfold_with_a_bit():
    x = np.random.default_rng(0).uniform(-1, 1, 100_000)
    errors = [affine.damage(x, affine.fit(-1, 1, bits)) for bits in (6, 7, 8)]
    for found in errors:
        assert found.rounding == pytest.approx(found.theory, rel=0.03)
        assert found.clipped == 0
    assert errors[0].rounding / errors[1].rounding == pytest.approx(4, rel=0.1)
    assert errors[2].sqnr_db - errors[1].sqnr_db == pytest.approx(6.02, abs=0.3)


def test_clipping_is_told_apart_from_rounding():
    x = np.array([0.0, 0.5, 1.0, 10.0])
    found = affine.damage(x, affine.fit(0.0, 1.0))
    assert found.clipped == 0.25
    assert found.clipping == pytest.approx(81 / 4)
    assert found.rounding < 1e-5


def test_best_range_clips_an_outlier():
    x = np.append(np.random.default_rng(0).normal(size=10_000), 80.0)
    low, high = affine.best_range(x, bits=4)
    full, clipped = affine.fit(x.min(), x.max(), 4), affine.fit(low, high, 4)
    assert high < 40
    assert affine.damage(x, clipped).sqnr_db > affine.damage(x, full).sqnr_db


def test_impossible_grids_are_refused():
    with pytest.raises(InputError, match="empty"):
        affine.fit(1.0, 1.0)
    with pytest.raises(InputError, match="2 to 16"):
        affine.fit(0, 1, bits=1)
