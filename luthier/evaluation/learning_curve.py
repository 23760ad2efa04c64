"""How much more data is worth: a power law through the figures of pilots, with its uncertainty (Hestness et al. 2017; Viering and Loog 2022).

error(n) = a + b n^-c, where error is 1 - figure, or the figure itself where lower is better; a >= 0, b >= 0, 0.05 <= c <= 2. Pilots are few and
noisy, so the curve is fitted again and again to figures drawn from their intervals and with the spread of a pilot about its curve; the
band holds the middle of those forecasts. Two pilots give c = 0.5, the rate at which averages sharpen.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EXPONENTS = np.geomspace(0.05, 2.0, 60)
FITS = 400
SCATTER = 0.02
"""Least standard deviation of a pilot about its curve: seeds and the choice of rows move it even where its test set is large."""


@dataclass(frozen=True)
class Pilot:
    """One small training."""

    rows: int
    value: float
    standard_error: float
    """From its test rows."""


@dataclass(frozen=True)
class Forecast:
    """What is expected at a number of rows."""

    rows: int
    value: float
    low: float
    high: float


def forecast(pilots: Sequence[Pilot], rows: Sequence[int], *, higher_is_better: bool = True, best: float = 1.0, coverage: float = 0.8, seed: int = 0) -> list[Forecast]:
    """The figure at each number of rows, with a band that is to hold the truth `coverage` of the time. At least two pilots of different size."""
    random = np.random.default_rng((seed, 5))
    drawn_FW, noise = curves(pilots, np.array(rows, dtype=float), higher_is_better, best, random)
    # A figure that is measured later has noise of its own, as large as the largest pilot's.
    measured_FW = drawn_FW + noise * random.standard_normal((FITS, 1))
    middle, low, high = np.median(drawn_FW, axis=0), *np.quantile(measured_FW, ((1 - coverage) / 2, (1 + coverage) / 2), axis=0)
    sign, start = (-1, best) if higher_is_better else (1, 0.0)
    ends = np.sort([start + sign * low, start + sign * high], axis=0)
    top = best if higher_is_better else np.inf
    return [Forecast(int(n), float(start + sign * m), float(one), float(min(other, top))) for n, m, one, other in zip(rows, middle, *ends)]


def curves(pilots: Sequence[Pilot], wanted_W: np.ndarray, higher_is_better: bool, best: float, random: np.random.Generator) -> tuple[np.ndarray, float]:
    """Errors [F, W] of F drawn curves at the wanted rows, and the noise of one measurement.

    For every draw and exponent the best a, b >= 0 have a closed form; the exponent is then drawn by how well it fits, so that what the pilots
    leave open stays open. F draws, P pilots, E exponents, W wanted sizes.
    """
    size_P = np.array([pilot.rows for pilot in pilots], dtype=float)
    if len(set(size_P)) < 2:
        raise ValueError("a learning curve needs pilots of at least two sizes")
    error_P = np.array([best - pilot.value if higher_is_better else pilot.value for pilot in pilots])
    spread_P = np.array([np.hypot(pilot.standard_error, SCATTER * max(1e-3, abs(error))) for pilot, error in zip(pilots, error_P)])
    drawn_FP = np.maximum(0, error_P + spread_P * random.standard_normal((FITS, len(error_P))))
    exponent_E = EXPONENTS if len(set(size_P)) > 2 else np.array([0.5])
    x_EP, weight_P = (size_P / size_P.min()) ** -exponent_E[:, None], spread_P**-2.0
    a_FE, b_FE = fitted(x_EP, drawn_FP, weight_P)
    loss_FE = (((a_FE[..., None] + b_FE[..., None] * x_EP - drawn_FP[:, None]) ** 2) * weight_P).sum(-1)
    share_FE = np.exp(-0.5 * (loss_FE - loss_FE.min(axis=1, keepdims=True)))
    reached_FE = np.cumsum(share_FE, axis=1) / share_FE.sum(axis=1, keepdims=True)
    chosen_F = (reached_FE < random.random((FITS, 1))).sum(axis=1).clip(max=len(exponent_E) - 1)
    rows_F = np.arange(FITS)
    scaled_FW = (wanted_W[None] / size_P.min()) ** -exponent_E[chosen_F][:, None]
    return a_FE[rows_F, chosen_F][:, None] + b_FE[rows_F, chosen_F][:, None] * scaled_FW, float(spread_P[int(size_P.argmax())])


def fitted(x_EP: np.ndarray, drawn_FP: np.ndarray, weight_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares of a + b x with a, b >= 0: the free solution where it is allowed, else the better one-sided one."""
    total = weight_P.sum()
    x_E, xx_E = x_EP @ weight_P, (x_EP**2) @ weight_P
    y_F, xy_FE = drawn_FP @ weight_P, (drawn_FP * weight_P) @ x_EP.T
    below_E = total * xx_E - x_E**2
    b_FE = (total * xy_FE - x_E * y_F[:, None]) / np.maximum(below_E, 1e-300)
    a_FE = (y_F[:, None] - b_FE * x_E) / total
    flat_FE, steep_FE = np.broadcast_to(y_F[:, None] / total, b_FE.shape), xy_FE / xx_E
    a_FE, b_FE = np.where(b_FE < 0, flat_FE, np.where(a_FE < 0, 0.0, a_FE)), np.where(b_FE < 0, 0.0, np.where(a_FE < 0, steep_FE, b_FE))
    return a_FE, b_FE


def worth(pilots: Sequence[Pilot], rows: int, more: int, *, higher_is_better: bool = True, best: float = 1.0, seed: int = 0) -> tuple[float, float]:
    """What `more` rows beyond `rows` are worth: the gain, positive is better, and half its 80 % band."""
    drawn_FW, _ = curves(pilots, np.array([rows, rows + more], dtype=float), higher_is_better, best, np.random.default_rng((seed, 6)))
    gain_F = drawn_FW[:, 0] - drawn_FW[:, 1]
    low, high = np.quantile(gain_F, (0.1, 0.9))
    return float(np.median(gain_F)), float(high - low) / 2
