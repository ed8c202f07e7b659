"""A spinning lidar and what is wrong with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Span = tuple[float, float]
FloatArray = npt.NDArray[np.float32]

_HORIZON_DEG = -2.0
"""Beams crowd about this elevation: a little below the horizon, where roads end."""


@dataclass(frozen=True)
class SensorKind:
    """Sensors of one layout.

    Attributes:
        num_beams: Beams, one above the other.
        num_azimuths: Columns a turn.
        elevation_deg: Range of the lowest and of the highest beam's elevation.
        crowding: Range of the exponent that crowds beams towards the horizon; 1 = evenly spaced.
        height_m: Range of the mounting height.
    """

    num_beams: int
    num_azimuths: int
    elevation_deg: tuple[Span, Span]
    crowding: Span
    height_m: Span


@dataclass(frozen=True)
class Sensor:
    """One sensor.

    Attributes:
        height_m: Above the road.
        elevation_rad: (B,) that the sensor reports, from the lowest beam up.
        true_elevation_rad: (B,) that its beams have.
        bias_m: (B,) added to each beam's range.
        beam_gain: (B,) factor on each beam's intensity.
        azimuth_rad: (A,) of the columns, ascending.
        noise_m: Standard deviation of a range.
        dropout: Share of returns that are lost near by; grows with distance.
        stray: Share of returns that are something in the air.
        max_range_m: Nothing returns from beyond.
        has_intensity: False = all intensities are 0.
    """

    height_m: float
    elevation_rad: FloatArray
    true_elevation_rad: FloatArray
    bias_m: FloatArray
    beam_gain: FloatArray
    azimuth_rad: FloatArray
    noise_m: float = 0.0
    dropout: float = 0.0
    stray: float = 0.0
    max_range_m: float = 80.0
    has_intensity: bool = True

    @classmethod
    def ideal(cls, height_m: float, elevation_deg: list[float], num_azimuths: int = 360) -> Sensor:
        """Make a sensor without any error.

        Args:
            height_m: Above the road.
            elevation_deg: Of its beams, ascending.
            num_azimuths: Columns a turn; the first looks along x.

        Returns:
            The sensor.
        """
        elevation = np.radians(np.array(elevation_deg, np.float32))
        zeros, ones = np.zeros_like(elevation), np.ones_like(elevation)
        azimuth = np.arange(num_azimuths, dtype=np.float32) * np.float32(2 * math.pi / num_azimuths)
        return cls(height_m, elevation, elevation, zeros, ones, azimuth)


def sample_sensor(kind: SensorKind, rng: np.random.Generator) -> Sensor:
    """Draw a sensor with its errors.

    Args:
        kind: Its layout.
        rng: All chance comes from it.

    Returns:
        The sensor.
    """
    low, high = (rng.uniform(*span) for span in kind.elevation_deg)
    from_horizon = np.linspace(low, high, kind.num_beams) - _HORIZON_DEG
    reach = np.where(from_horizon < 0, _HORIZON_DEG - low, high - _HORIZON_DEG)
    crowded = reach * (np.abs(from_horizon) / reach) ** rng.uniform(*kind.crowding)
    elevation = np.radians(_HORIZON_DEG + np.sign(from_horizon) * crowded).astype(np.float32)
    error = np.radians(rng.normal(0, rng.uniform(0, 0.03), kind.num_beams)).astype(np.float32)
    phase = rng.uniform(0, 2 * math.pi / kind.num_azimuths)
    gain = rng.uniform(0.5, 1.6) * rng.uniform(0.85, 1.15, kind.num_beams)
    return Sensor(
        height_m=float(rng.uniform(*kind.height_m)),
        elevation_rad=elevation,
        true_elevation_rad=elevation + error,
        bias_m=(rng.uniform(0, 0.03) * rng.uniform(-1, 1, kind.num_beams)).astype(np.float32),
        beam_gain=gain.astype(np.float32),
        azimuth_rad=(phase + np.arange(kind.num_azimuths) * (2 * math.pi / kind.num_azimuths)).astype(np.float32),
        noise_m=float(rng.uniform(0.005, 0.025)),
        dropout=float(rng.uniform(0.01, 0.06)),
        stray=float(rng.uniform(0, 0.001)),
        has_intensity=bool(rng.random() >= 0.25),
    )
