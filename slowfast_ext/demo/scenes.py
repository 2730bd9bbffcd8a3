"""Small painted scenes: one action that a person can name, among distractors.

Every class is an object together with what it does, so that a strip of frames can be read by eye. Size,
place, colours, speed and starting phase are drawn anew for each video; none of them depends on the class.

Shape legend: H, W frame height and width in pixels. Frames are (H, W, 3) uint8, RGB.
"""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

_SUBPIXEL_BITS = (
    4  # OpenCV draws with fixed-point coordinates: without them slow motion jumps by whole pixels
)

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Actor:
    """The one object that acts: its place, size, colours and speed.

    Attributes:
        centre: Pixels (x, y).
        radius: Half of the object's extent, pixels.
        colour: Main colour, RGB 0-255.
        accent: Second colour, RGB 0-255.
        rate: Repetitions of the motion per second.
        phase: Where in its motion the object starts, in repetitions, [0, 1).
        mirrored: Whether the object is seen mirrored left to right.
    """

    centre: Point
    radius: float
    colour: Colour
    accent: Colour
    rate: float
    phase: float
    mirrored: bool

    def at(self, dx: float, dy: float) -> Point:
        """Pixel position of a point given in radii from the centre (x to the right, y down)."""
        return self.centre[0] + (-dx if self.mirrored else dx) * self.radius, self.centre[
            1
        ] + dy * self.radius


def _fixed(point: Point) -> tuple[int, int]:
    return round(point[0] * 2**_SUBPIXEL_BITS), round(point[1] * 2**_SUBPIXEL_BITS)


def _line(frame: np.ndarray, a: Point, b: Point, colour: Colour, width: float) -> None:
    cv2.line(frame, _fixed(a), _fixed(b), colour, max(1, round(width)), cv2.LINE_AA, _SUBPIXEL_BITS)


def _disc(frame: np.ndarray, centre: Point, radius: float, colour: Colour, width: float = 0.0) -> None:
    """A filled disc, or a ring where `width` is given."""
    thickness = max(1, round(width)) if width else -1
    fixed_radius = max(1, round(radius * 2**_SUBPIXEL_BITS))
    cv2.circle(frame, _fixed(centre), fixed_radius, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _polygon(frame: np.ndarray, points: list[Point], colour: Colour) -> None:
    corners = np.array([_fixed(point) for point in points], dtype=np.int32)
    cv2.fillPoly(frame, [corners], colour, cv2.LINE_AA, _SUBPIXEL_BITS)


def _around(actor: Actor, angle: float, distance: float = 1.0) -> Point:
    """The point at `angle` (radians, clockwise from the right) and `distance` radii from the centre."""
    return actor.at(distance * math.cos(angle), distance * math.sin(angle))


def bouncing_ball(frame: np.ndarray, actor: Actor, turns: float) -> None:
    """A ball that falls on a floor and jumps up again."""
    height = abs(math.cos(math.pi * turns))
    squash = 0.5 - 0.1 * (height < 0.25)
    _line(frame, actor.at(-1.0, 1.0), actor.at(1.0, 1.0), actor.accent, 2)
    centre = actor.at(0.0, 1.0 - squash - 1.4 * height * 0.9)
    axes = (round(0.5 * actor.radius * 2**_SUBPIXEL_BITS), round(squash * actor.radius * 2**_SUBPIXEL_BITS))
    cv2.ellipse(frame, _fixed(centre), axes, 0, 0, 360, actor.colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def spinning_cross(frame: np.ndarray, actor: Actor, turns: float) -> None:
    """A plus sign that turns about its middle."""
    for quarter in range(4):
        tip = _around(actor, math.pi / 2 * (turns + quarter))
        _line(frame, actor.centre, tip, actor.colour, 0.42 * actor.radius)


def spreading_ripples(frame: np.ndarray, actor: Actor, turns: float) -> None:
    """Rings that start in the middle and grow, as when a drop falls into water."""
    for ring in range(3):
        growth = (turns * 0.5 + ring / 3) % 1.0
        _disc(frame, actor.centre, max(0.1, growth) * actor.radius, actor.colour, 0.12 * actor.radius)


def swinging_pendulum(frame: np.ndarray, actor: Actor, turns: float) -> None:
    """A bob on a rod that swings from a beam."""
    angle = math.pi / 2 + 0.75 * math.sin(2 * math.pi * turns)
    pivot = actor.at(0.0, -1.0)
    bob = actor.at(1.55 * math.cos(angle), -1.0 + 1.55 * math.sin(angle))
    _line(frame, actor.at(-0.8, -1.0), actor.at(0.8, -1.0), actor.accent, 3)
    _line(frame, pivot, bob, actor.accent, 2)
    _disc(frame, bob, 0.36 * actor.radius, actor.colour)


def rolling_wheel(frame: np.ndarray, actor: Actor, turns: float) -> None:
    """A wheel with spokes that rolls to and fro."""
    shift = 0.35 * math.sin(math.pi * turns)
    hub = actor.at(shift, 0.0)
    rim = 0.8 * actor.radius
    for spoke in range(6):
        angle = (-1 if actor.mirrored else 1) * shift / 0.8 + math.pi / 3 * spoke
        tip = hub[0] + rim * math.cos(angle), hub[1] + rim * math.sin(angle)
        _line(frame, hub, tip, actor.accent, 2)
    _disc(frame, hub, rim, actor.colour, 0.2 * actor.radius)


def chomping_mouth(frame: np.ndarray, actor: Actor, turns: float) -> None:
    """A round head that opens and closes its mouth."""
    gape = 0.08 + 0.75 * abs(math.sin(math.pi * turns))
    rim = np.linspace(gape, 2 * math.pi - gape, 24)
    _polygon(frame, [actor.centre, *(_around(actor, angle, 0.9) for angle in rim)], actor.colour)
    _disc(frame, actor.at(0.05, -0.5), 0.13 * actor.radius, actor.accent)


def waving_flag(frame: np.ndarray, actor: Actor, turns: float) -> None:
    """A striped flag on a pole that waves in the wind."""
    across = np.linspace(0.0, 1.0, 12)
    waves = [0.22 * x * math.sin(2 * math.pi * (turns - 0.9 * x)) for x in across]
    for stripe in range(3):
        top = [
            actor.at(-0.8 + 1.7 * x, -0.95 + 0.36 * stripe + y) for x, y in zip(across, waves, strict=True)
        ]
        bottom = [(x, y + 0.38 * actor.radius) for x, y in reversed(top)]
        _polygon(frame, top + bottom, actor.accent if stripe == 1 else actor.colour)
    _line(frame, actor.at(-0.85, -1.0), actor.at(-0.85, 1.0), actor.accent, 2)


def jumping_jack(frame: np.ndarray, actor: Actor, turns: float) -> None:
    """A stick figure that throws up its arms and spreads its legs, again and again."""
    opening = 0.5 - 0.5 * math.cos(2 * math.pi * turns)
    width = 0.17 * actor.radius
    lift = -0.12 * opening
    arm = math.radians(65 - 130 * opening)
    leg = math.radians(85 - 45 * opening)
    neck, hip = actor.at(0.0, -0.4 + lift), actor.at(0.0, 0.25 + lift)
    _line(frame, neck, hip, actor.colour, 1.4 * width)
    for side in (-1, 1):
        hand = actor.at(side * 0.75 * math.cos(arm), -0.35 + lift + 0.75 * math.sin(arm))
        foot = actor.at(side * 0.8 * math.cos(leg), 0.25 + lift + 0.8 * math.sin(leg))
        _line(frame, actor.at(0.0, -0.35 + lift), hand, actor.colour, width)
        _line(frame, hip, foot, actor.colour, width)
    _disc(frame, actor.at(0.0, -0.68 + lift), 0.25 * actor.radius, actor.accent)


ACTIONS: tuple[Callable[[np.ndarray, Actor, float], None], ...] = (
    bouncing_ball,
    chomping_mouth,
    jumping_jack,
    rolling_wheel,
    spinning_cross,
    spreading_ripples,
    swinging_pendulum,
    waving_flag,
)
CLASS_NAMES: tuple[str, ...] = tuple(action.__name__ for action in ACTIONS)


def _random_colour(rng: np.random.Generator, brightness: tuple[float, float]) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 1.0), rng.uniform(*brightness))
    return round(red * 255), round(green * 255), round(blue * 255)


def random_actor(rng: np.random.Generator, height: int, width: int) -> Actor:
    """Draw an actor that lies in the middle of the frame, where a centre crop keeps it.

    Args:
        rng: Source of all randomness.
        height: Frame height H, pixels.
        width: Frame width W, pixels.

    Returns:
        An actor whose extent is 44 to 60 percent of the frame's short side.
    """
    short_side = min(height, width)
    return Actor(
        centre=(
            width / 2 + rng.uniform(-0.16, 0.16) * short_side,
            height / 2 + rng.uniform(-0.14, 0.14) * short_side,
        ),
        radius=rng.uniform(0.22, 0.30) * short_side,
        colour=_random_colour(rng, (0.75, 1.0)),
        accent=_random_colour(rng, (0.75, 1.0)),
        rate=rng.uniform(0.6, 1.1),
        phase=rng.random(),
        mirrored=bool(rng.random() < 0.5),
    )


class Surroundings:
    """A textured ground that drifts, and boxes and bars that wander over it throughout the video.

    They are drawn from the same distribution for every class, so they say nothing about it.

    Args:
        rng: Source of all randomness; used here, never while frames are painted.
        height: Frame height H, pixels.
        width: Frame width W, pixels.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._ground = self._texture(rng, 2 * height, 2 * width)
        self._drift = rng.uniform(0.0, 2 * math.pi, size=2), rng.uniform(0.2, 0.6, size=2)
        short_side = min(height, width)
        self._things = [
            {
                "start": rng.uniform(0.0, 1.0, size=2) * (width, height),
                "velocity": rng.uniform(-0.25, 0.25, size=2) * short_side,
                "half_size": rng.uniform(0.03, 0.14, size=2) * short_side,
                "angle": rng.uniform(0.0, 180.0),
                "turn": rng.uniform(-25.0, 25.0),
                "colour": _random_colour(rng, (0.35, 0.9)),
            }
            for _ in range(rng.integers(3, 7))
        ]

    @staticmethod
    def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """Dark two-coloured clouds, (height, width, 3) uint8."""
        clouds = np.zeros((height, width), dtype=np.float32)
        for cells, weight in ((3, 1.0), (7, 0.6), (17, 0.35)):
            noise = rng.random((cells, cells), dtype=np.float32)
            clouds += weight * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        clouds = (clouds - clouds.min()) / (clouds.max() - clouds.min())
        dark = np.array(_random_colour(rng, (0.05, 0.3)), dtype=np.float32)
        light = np.array(_random_colour(rng, (0.3, 0.6)), dtype=np.float32)
        return (dark + (light - dark) * clouds[..., None]).round().astype(np.uint8)

    def paint(self, seconds: float) -> np.ndarray:
        """Return the frame (H, W, 3) uint8 at a time given in seconds, without any action."""
        phase, speed = self._drift
        offset = 0.5 + 0.5 * np.sin(phase + speed * seconds)
        top, left = round(offset[0] * self.height), round(offset[1] * self.width)
        frame = self._ground[top : top + self.height, left : left + self.width].copy()
        for thing in self._things:
            # A thing that leaves on one side comes back on the other; the margin hides the jump.
            margin = 0.3 * min(self.height, self.width)
            span = np.array((self.width, self.height)) + 2 * margin
            centre = (thing["start"] + thing["velocity"] * seconds + margin) % span - margin
            box = cv2.boxPoints(
                (centre.tolist(), (2 * thing["half_size"]).tolist(), thing["angle"] + thing["turn"] * seconds)
            )
            _polygon(frame, [(float(x), float(y)) for x, y in box], thing["colour"])
        return frame
