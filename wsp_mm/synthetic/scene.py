# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""One image of any world, from its request and its world's settings alone: people, places, light,
and the ground truth about all of it.

World frame: metres, z up, the ground at 0. A clip is a piece of continuous motion: everybody takes
up a pose somewhere and moves on from it; walkers go round circles. B bodies, J joints.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set

from .actions import sample_pose
from .body import PART_INDEX, body_model
from .clothing import Outfit, sample_outfit
from .clutter import sample_clutter
from .ground_truth import PersonGT, SceneGT
from .motion import Pose, pose_at, walking_speed
from .people import Identity, PosedBodies, pose_bodies, sample_identity
from .placement import hull_gap, plan_hull, turn_plan
from .plan import SceneRequest, random_stream, rng_of
from .render import PROP, Box, Renderer, lens_and_noise, project_m, whole_pixels, window_of
from .scenery import Scenery
from .textures import Range, Texture, choose, sample_wall
from .visibility import joint_pixels, silhouette, visible_joints

_PELVIS = get_joint_set('world').index('pelvis')
# Where somebody may stand, (2,) m, given where others are (N, 2), how often that failed (0 to 1),
# and the radius of their circle.
Spot = Callable[[np.ndarray, float, float], np.ndarray]


@dataclass(frozen=True)
class Lens:
    """What a camera makes of light: exponent of its tone curve, blur px, noise in gray levels."""

    gamma: float
    blur: float
    noise: float


def sample_lens(
    rng: np.random.Generator, gamma: Range = (0.42, 0.52), blur: Range = (0.3, 0.7),
    noise: Range = (0, 4),
) -> Lens:  # fmt: skip
    """A lens with values in these ranges."""
    return Lens(*(float(rng.uniform(*ends)) for ends in (gamma, blur, noise)))


@dataclass(frozen=True, eq=False)
class View:
    """A camera (mm) with its lens."""

    camera: PinholeCamera
    lens: Lens


@dataclass(frozen=True, eq=False)
class SceneSettings:
    """How the scenes of a world, or of one of its sources, are made.

    Attributes:
        actions: name -> how often.
        people: (request, rng) -> who is there.
        view: request -> what takes the image.
        scenery: (request, m from the camera that must be free of walls) -> surroundings and light.
        spots: (request, view, rng) -> where somebody may stand.
        together: probability that everybody does the same. facing: that most look at the camera.
        steps: share of those who stand that do so on a step. seat: texture of seats; None: sampled.
        clutter: most boxes (furniture, posts, hedges) that stand about, also before people.
        seconds: length of a clip, for which nobody may run into anybody; 0 for stills.
        radius: m, of walkers' circles. gap: m, the least distance between persons seen from above;
            negative where they may overlap.
        silhouettes: whether the ground truth has boxes, areas and outlines.
        shadow: m that shadows reach over the floor of a room that is rendered once, empty; only
            what differs from it is rendered then. None: everything is rendered.
        layers: rng -> light on one person. Persons are then rendered one by one, without shadow on
            the floor, and pasted over the background in the order of their pelvises' depths,
            farthest first. None: everybody is in one scene.
        background: request -> view and scenery behind the layers; None: those of the request.
    """

    actions: dict[str, float]
    people: Callable[[SceneRequest, np.random.Generator], list[tuple[Identity, Outfit]]]
    view: Callable[[SceneRequest], View]
    scenery: Callable[[SceneRequest, float], Scenery]
    spots: Callable[[SceneRequest, View, np.random.Generator], Spot]
    together: float = 0.0
    facing: float = 0.0
    steps: float = 0.0
    seat: Texture | None = None
    clutter: int = 0
    seconds: float = 0.0
    radius: Range = (0.0, 0.0)
    gap: float = 0.03
    silhouettes: bool = False
    shadow: float | None = None
    layers: Callable[[np.random.Generator], Scenery] | None = None
    background: Callable[[SceneRequest], tuple[View, Scenery] | None] | None = None


@lru_cache(maxsize=128)
def subject(
    world: str, seed: int, number: int, outfit: int, female: bool, ages: Range,
    stature: Range = (0, 3),
) -> tuple[Identity, Outfit]:  # fmt: skip
    """One of a world's few people: the same body always, in one of their outfits.

    Args:
        ages: years. stature: m.
    """
    rng = random_stream(seed, f'{world} body', number)
    while True:
        identity = sample_identity(rng)
        fits = ages[0] <= identity.age <= ages[1] and identity.female == female
        if fits and stature[0] <= identity.height <= stature[1]:
            break
    rng = random_stream(seed, f'{world} outfit', number, outfit)
    return identity, sample_outfit(rng, identity.age, female)


# ------------------------------------------------------------------ who, where
@dataclass(frozen=True, eq=False)
class Clip:
    """The people of a clip as it begins.

    Attributes:
        identities, outfits, poses: who, and how they begin.
        middles: (B, 2) m, of the circles that they go round. radii: (B,) m, 0 for who stays,
            negative for clockwise. yaws: (B,) radians.
        lifts: (B,) m, height of the step under somebody. textures: of seats and steps.
        depth: m along y that is free of walls.
        bodies: as the clip begins; None where they were not needed yet.
    """

    identities: list[Identity]
    outfits: list[Outfit]
    poses: list[Pose]
    middles: np.ndarray
    radii: np.ndarray
    yaws: np.ndarray
    lifts: np.ndarray
    textures: list[Texture]
    depth: float
    bodies: PosedBodies | None


def _path(middle: np.ndarray, radius: float, yaw: float, way: float) -> tuple[np.ndarray, float]:
    """Place (2,) and yaw after ``way`` m; who faces -y at yaw 0 has their left at +x."""
    yaw = yaw + way / radius if radius else yaw
    return middle - radius * np.array([np.cos(yaw), np.sin(yaw)]), yaw


@lru_cache(maxsize=4)
def start_clip(settings: SceneSettings, request: SceneRequest) -> Clip:
    """The people of a request's clip; ``request`` at time 0."""
    rng = rng_of(request, 'cast', *request.clip)
    people = settings.people(request, rng)
    identities, outfits = [who for who, _ in people], [outfit for _, outfit in people]
    actions = [request.action or choose(rng, settings.actions) for _ in people]
    if len(people) > 1 and rng.random() < settings.together:
        actions = actions[:1] * len(people)
    poses = [sample_pose(action, rng) for action in actions]
    n = len(people)
    walks = np.array([pose.gait is not None for pose in poses], dtype=bool)
    radii = rng.uniform(*settings.radius, n) * rng.choice([-1, 1], n) * walks
    stands = np.array([pose.posture == 'standing' for pose in poses], dtype=bool)
    on_step = stands & ~walks & (rng.random(n) < settings.steps)
    lifts = np.where(on_step, rng.uniform(0.08, 0.45, n), 0.0)
    textures = [settings.seat or sample_wall(rng) for _ in people]
    bodies = pose_bodies(identities, poses, outfits) if n > 1 else None
    middles, yaws, depth = _place(rng, settings, request, bodies, radii, lifts)
    return Clip(identities, outfits, poses, middles, radii, yaws, lifts, textures, depth, bodies)


def _place(
    rng: np.random.Generator, settings: SceneSettings, request: SceneRequest,
    bodies: PosedBodies | None, radii: np.ndarray, lifts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, float]:  # fmt: skip
    """Middles (B, 2) m, yaws (B,) and free depth m, so that nobody runs into anybody.

    Args:
        bodies: None for one person alone, who stands wherever the settings say.
    """
    middles, yaws, hulls = np.zeros((len(radii), 2)), np.zeros(len(radii)), []
    spot = settings.spots(request, settings.view(request), rng)
    facing = rng.random() < settings.facing
    for i, radius in enumerate(radii):
        towards = facing and rng.random() < 0.8
        yaws[i] = rng.normal(0, 0.6) if towards else rng.uniform(-np.pi, np.pi)
        if bodies is None:
            middles[i] = spot(middles[:i], 0.0, abs(radius))
            hulls.append(middles[i] + [[0, 1.1 + 2 * abs(radius)]])
            continue
        box = _support(bodies, i, lifts[i])
        corners = Box(*box, 0.0, None).corners() if box else np.zeros((0, 3))
        own = plan_hull(np.concatenate([bodies.surface[i][body_model().on_surface], corners]))
        way = walking_speed(bodies.poses[i], bodies.height[i]) * settings.seconds if radius else 0.0
        ways = np.linspace(0, way, 12 if way else 1)
        for attempt in range(60):
            middles[i] = spot(middles[:i], attempt / 60, abs(radius))
            paths = [_path(middles[i], radius, yaws[i], w) for w in ways]
            hull = plan_hull(np.concatenate([turn_plan(own, yaw, at) for at, yaw in paths]))
            gaps = (hull_gap(hull, other) for other in hulls)
            if hull[:, 1].min() > 1.2 and all(gap > settings.gap for gap in gaps):
                break
            yaws[i] += rng.normal(0, 0.3)
        else:  # nothing was free: behind everybody else there always is
            back = max([other[:, 1].max() for other in hulls], default=1.5) + max(settings.gap, 0.1)
            across = rng.uniform(-0.3, 0.3) * back
            move = np.array([across - middles[i, 0], back - hull[:, 1].min()])
            middles[i], hull = middles[i] + move, hull + move
        hulls.append(hull)
    return middles, yaws, max([hull[:, 1].max() for hull in hulls], default=6.0)


def _support(bodies: PosedBodies, i: int, lift: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Centre (2,) and size (3,) m, in the stand frame, of what body i sits or stands on.

    None on the ground. A step is under the feet and reaches from ``-lift`` m to 0.
    """
    surface, part = bodies.surface[i], body_model().vertex_part
    if lift:
        hull = plan_hull(surface[surface[:, 2] < 0.15])
        low, high = hull.min(axis=0), hull.max(axis=0)
        return (low + high) / 2, np.append(high - low + 0.1, lift)
    if bodies.poses[i].posture != 'sitting':
        return None
    bottom = surface[part == PART_INDEX['pelvis']]
    top = bottom[:, 2].min()
    if top < 0.12:
        return None
    # From behind the pelvis to half-way along the thighs, but not into the shins.
    shins = surface[np.isin(part, [PART_INDEX['left_shin'], PART_INDEX['right_shin']])]
    low_shins = shins[shins[:, 2] < top, 1].max(initial=-9)
    back = bottom[:, 1].max() + 0.02
    front = min(max(bottom[:, 1].min() - 0.16, low_shins + 0.02), back - 0.12)
    width = 2 * 0.95 * np.abs(bottom[:, 0]).max()
    return np.array([0.0, (front + back) / 2]), np.array([width, back - front, top])


@dataclass
class PosedScene:
    """Everything of a scene before it is rendered (metres, world frame).

    Attributes:
        bodies: in their stand frames; None for nobody. clip: the people as it began.
        places: (B, 2). yaws: (B,) radians. seats: what each sits or stands on, or None.
        scenery: ground, surroundings and light. clutter: what else stands about.
    """

    bodies: PosedBodies | None
    clip: Clip
    places: np.ndarray
    yaws: np.ndarray
    seats: list[Box | None]
    scenery: Scenery
    clutter: list[Box] = field(default_factory=list)

    @cached_property
    def _turns(self) -> np.ndarray:
        c, s, o = np.cos(self.yaws), np.sin(self.yaws), np.zeros_like(self.yaws)
        return np.stack([c, s, o, -s, c, o, o, o, o + 1], axis=-1).reshape(-1, 3, 3)

    def _to_world(self, points: np.ndarray) -> np.ndarray:
        return points @ self._turns + np.c_[self.places, self.clip.lifts][:, None]

    @cached_property
    def surfaces(self) -> np.ndarray:
        """(B, V, 3) m."""
        return self._to_world(self.bodies.surface) if self.bodies else np.zeros((0, 1, 3))

    @cached_property
    def joints(self) -> np.ndarray:
        """(B, J, 3) m."""
        return self._to_world(self.bodies.joints) if self.bodies else np.zeros((0, 29, 3))

    @cached_property
    def normals(self) -> np.ndarray:
        """(B, V, 3)."""
        return self.bodies.normals @ self._turns if self.bodies else np.zeros((0, 1, 3))

    @cached_property
    def renderer(self) -> Renderer:
        """Everybody and everything in one scene."""
        boxes = [seat for seat in self.seats if seat] + self.clutter
        return Renderer(self.surfaces, self.normals, self.clip.outfits, boxes, self.scenery)


@lru_cache(maxsize=2)
def pose_scene(settings: SceneSettings, request: SceneRequest) -> PosedScene:
    """The people, seats and surroundings of a request."""
    clip = start_clip(settings, replace(request, time=0.0))
    scenery = settings.scenery(request, max(clip.depth, 4.0) + 0.5)
    places, yaws = clip.middles.copy(), clip.yaws.copy()
    if not len(places):
        return _with_clutter(PosedScene(None, clip, places, yaws, [], scenery), settings, request)
    bodies = clip.bodies
    if bodies is None or request.time:
        poses = [
            pose_at(pose, request.time, rng_of(request, 'motion', *request.clip, i))
            for i, pose in enumerate(clip.poses)
        ]
        bodies = pose_bodies(clip.identities, poses, clip.outfits)
    seats: list[Box | None] = []
    for i, pose in enumerate(clip.poses):
        way = walking_speed(pose, bodies.height[i]) * request.time
        places[i], yaws[i] = _path(clip.middles[i], clip.radii[i], clip.yaws[i], way)
        support = _support(bodies, i, clip.lifts[i])
        if support is not None:
            center = turn_plan(support[0][None], yaws[i], places[i])[0]
            support = Box(center, support[1], yaws[i], clip.textures[i])
        seats.append(support)
    return _with_clutter(PosedScene(bodies, clip, places, yaws, seats, scenery), settings, request)


def _with_clutter(scene: PosedScene, settings: SceneSettings, request: SceneRequest) -> PosedScene:
    if settings.clutter:
        taken = [plan_hull(surface[body_model().on_surface]) for surface in scene.surfaces]
        taken += [plan_hull(seat.corners()) for seat in scene.seats if seat]
        camera = settings.view(request).camera
        scene.clutter = sample_clutter(settings.clutter, camera, request, taken, scene.clip.depth)
    return scene


# ------------------------------------------------------------------ the image
def generate_scene(request: SceneRequest, settings: SceneSettings) -> tuple[np.ndarray, SceneGT]:
    """The image (H, W, 3) uint8 RGB of a request, and its ground truth."""
    # Nothing else of the request matters for the scene: all cameras share it.
    key = replace(request, scene_id=0, path='', link='', camera=0, frame=-1, annotated=True)
    scene, view = pose_scene(settings, key), settings.view(request)
    projected = project_m(view.camera, scene.joints)
    more: list[dict] = [{} for _ in projected]
    inside = np.array([joint_pixels(px, request.width, request.height)[1] for px in projected])
    visible = inside
    if settings.layers is not None:
        image, visible = _paste_layers(scene, request, settings, view, projected)
    elif settings.shadow is not None:
        image = _render_changes(scene, request, settings.shadow, view)
    else:
        seen = scene.renderer.render(view.camera, request.width, request.height)
        image = scene.renderer.tone_map(seen, view.lens.gamma)
        heights = scene.bodies.height if scene.bodies else ()
        visible = [visible_joints(i, projected[i], h, seen)[1] for i, h in enumerate(heights)]
        if settings.silhouettes:
            more = [silhouette(i, scene.renderer, seen) for i in range(len(projected))]
    noise = rng_of(request, 'noise', request.scene_id)
    image = lens_and_noise(image, view.lens.blur, view.lens.noise, noise)
    persons = [
        PersonGT(
            i, pose.action, pose.posture, round(scene.clip.identities[i].age, 2),
            round(float(scene.bodies.height[i]) * 1000, 1), scene.joints[i] * 1000,
            projected[i, :, :2], inside[i], visible[i],
            float(scene.surfaces[i][body_model().on_surface, 2].min() * 1000), **more[i],
        )
        for i, pose in enumerate(scene.clip.poses)
    ]  # fmt: skip
    return image, SceneGT(request, view.camera, persons)


@lru_cache(maxsize=32)
def empty_image(view: View, scenery: Scenery, width: int, height: int) -> np.ndarray:
    """What a camera sees of surroundings without anybody, (H, W, 3) uint8."""
    renderer = Renderer(np.zeros((0, 1, 3)), np.zeros((0, 1, 3)), [], [], scenery)
    return renderer.tone_map(renderer.render(view.camera, width, height), view.lens.gamma)


def _render_window(
    renderer: Renderer, view: View, points: np.ndarray, request: SceneRequest
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
    """The part of an image where points (N, 3) m are; None where that is outside.

    Returns:
        rows and columns, pixels (h, w, 3), and who is there (h, w).
    """
    window = window_of(view.camera, points)
    x0, y0, x1, y1 = whole_pixels(window, request.width, request.height)
    if x1 <= x0 or y1 <= y0:
        return None
    camera = replace(view.camera, c=view.camera.c - (x0, y0))
    seen = renderer.render(camera, x1 - x0, y1 - y0)
    part = slice(y0, y1), slice(x0, x1)
    return part, renderer.tone_map(seen, view.lens.gamma), seen.owner


def _render_changes(
    scene: PosedScene, request: SceneRequest, shadow: float, view: View
) -> np.ndarray:
    """The empty room, and anew only the part of it with the people, their seats and shadows."""
    image = empty_image(view, scene.scenery, request.width, request.height).copy()
    corners = scene.renderer.corners.reshape(-1, 3)
    (left, front, _), (right, back, _) = corners.min(axis=0) - shadow, corners.max(axis=0) + shadow
    floor = [(x, y, 0.0) for x in (left, right) for y in (front, back)]
    found = _render_window(scene.renderer, view, np.concatenate([corners, floor]), request)
    if found is not None:
        image[found[0]] = found[1]
    return image


def _paste_layers(
    scene: PosedScene, request: SceneRequest, settings: SceneSettings, view: View,
    projected: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Persons cut out and pasted over a background.

    Returns:
        image, and (B, J) whether a joint is inside and no nearer person's layer covers it. What the
        own body hides counts as visible: a layer knows nothing of what is behind its own surface.
    """
    size = request.width, request.height
    behind = settings.background(request) if settings.background else None
    image = empty_image(*(behind or (view, scene.scenery)), *size).copy()
    nearest_first = np.argsort(projected[:, _PELVIS, 2], kind='stable').tolist()
    owner_rank = np.full(image.shape[:2], len(nearest_first))
    for rank, i in reversed(list(enumerate(nearest_first))):
        one, boxes = slice(i, i + 1), [scene.seats[i]] if scene.seats[i] else []
        light = settings.layers(rng_of(request, 'light', *request.clip, i))
        outfits = scene.clip.outfits[one]
        renderer = Renderer(scene.surfaces[one], scene.normals[one], outfits, boxes, light)
        found = _render_window(renderer, view, renderer.corners.reshape(-1, 3), request)
        if found is not None:
            part, pixels, owner = found
            mask = (owner == 0) | (owner == PROP)
            image[part][mask], owner_rank[part][mask] = pixels[mask], rank
    visible = np.zeros(projected.shape[:2], dtype=bool)
    for rank, i in enumerate(nearest_first):
        pixel, inside = joint_pixels(projected[i], *size)
        visible[i] = inside & (owner_rank[pixel[:, 1], pixel[:, 0]] >= rank)
    return image, visible
