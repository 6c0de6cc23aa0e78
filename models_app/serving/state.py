"""What is served at the moment, for pages: a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from models_app.models import Deployment, Release, Route, Slot
from models_app.models.releases import PRODUCTION, Environment, live_deployment
from models_app.releases.deploying import earlier_releases, files_problem
from models_app.releases.obstacles import Holder, holders
from models_app.serving.readiness import FRESH, readiness

DEEPEST = 20  # of the earlier releases, how many are looked at for one that can be loaded


@dataclass(frozen=True)
class SlotView:
    """A release that should have a slot, and how that stands. `role`: live, canary, warming up, or kept for rolling
    back."""

    release: Release
    role: str
    slot: Slot | None
    silent: bool  # its supervisor has not been heard of for a while

    @property
    def state(self) -> str:
        if self.slot is None:
            return "waiting"
        return "silent" if self.silent else self.slot.state


@dataclass(frozen=True)
class PassedOver:
    """An earlier release that cannot be loaded, and why."""

    release: Release
    problem: str


@dataclass(frozen=True)
class ServingState:
    environment: Environment
    live: Deployment | None
    previous: Release | None  # what is kept loaded for rolling back
    target: (
        Release | None
    )  # what rolling back goes to: the release before, or the next one whose files are there
    passed_over: list[PassedOver]
    holders: list[Holder]
    slots: list[SlotView]
    ready: bool
    sentence: str

    @property
    def roll_back_label(self) -> str:
        return f"Roll back to release {self.target.pk}" if self.target else ""

    @property
    def roll_back_text(self) -> str:
        """What happens, truly: at once only where the model is loaded."""
        loaded = any(view.release == self.target and view.state == "ready" for view in self.slots)
        if loaded:
            now = "It is live again within two seconds and no request is lost."
        elif any(passed.release == self.target for passed in self.passed_over):
            now = "Its files are missing: until they are back, requests are answered with 503."
        else:
            now = "Its model is not loaded: until it is, requests are answered with 503 and the time to try again."
        return f"{now} The release that is live now is ended for good; to bring it back takes a new release."

    @property
    def warming(self) -> list[SlotView]:
        return [view for view in self.slots if view.role == "warming up"]

    @property
    def moving(self) -> bool:
        """Whether anything is about to change, so that the page should look again soon."""
        return not self.ready or any(view.state in ("starting", "waiting") for view in self.slots)


def serving_state(environment: str = PRODUCTION) -> ServingState:
    route = Route.objects.select_related("environment", "previous").get(environment__name=environment)
    live = live_deployment(environment)
    previous = route.previous if route.previous and route.previous.state == Release.State.SUPERSEDED else None
    ready, sentence = readiness(environment)
    target, passed_over = _roll_back_target(route.environment) if live is not None else (None, [])
    return ServingState(
        environment=route.environment,
        live=live,
        previous=previous,
        target=target,
        passed_over=passed_over,
        holders=holders(),
        slots=_slots(route, live, previous),
        ready=ready,
        sentence=sentence,
    )


def _roll_back_target(environment: Environment) -> tuple[Release | None, list[PassedOver]]:
    """The first earlier release whose files are there; where none has, the release before all the same."""
    passed: list[PassedOver] = []
    earlier = earlier_releases(environment)[:DEEPEST]
    for release in earlier:
        problem = files_problem(release)
        if not problem:
            return release, passed
        passed.append(PassedOver(release, problem))
    return (earlier[0] if earlier else None), passed


def _slots(route: Route, live: Deployment | None, previous: Release | None) -> list[SlotView]:
    roles: dict[int, str] = {}
    if live is not None:
        roles[live.release_id] = "live"
    if route.canary_id is not None:
        roles[route.canary_id] = f"canary, {route.canary_weight} %"
    warming = Release.objects.filter(environment=route.environment_id, state=Release.State.WARMING)
    for pk in warming.order_by("pk").values_list("pk", flat=True):
        roles[pk] = "warming up"
    if previous is not None:
        roles[previous.pk] = "kept for rolling back"
    releases = Release.objects.select_related("model_version", "prompt_version__prompt", "slot").in_bulk(
        list(roles)
    )
    now = timezone.now()
    views = []
    for pk, role in roles.items():
        slot: Slot | None = getattr(releases[pk], "slot", None)
        ready = slot is not None and slot.state == Slot.State.READY
        heard = slot.heartbeat_at if slot is not None else None
        silent = ready and (heard is None or now - heard > FRESH)
        views.append(SlotView(releases[pk], role, slot, silent))
    return views
