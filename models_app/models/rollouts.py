"""How releases came to have all of the traffic, or lost it again: what was seen on the way is not rewritten."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Rollout(models.Model):
    """A release on its way from a share of the traffic to all of it, beside what was live when it began. Its state is
    the release's; `ended_at` says that it is over."""

    class Outcome(models.TextChoices):
        LIVE = "live"
        STOPPED = "stopped", "stopped by itself"
        ROLLED_BACK = "rolled back", "rolled back by a person"
        SENT_BACK = "sent back", "sent back to approval"
        ENDED = "ended", "ended with what was live beside it"

    environment = models.ForeignKey(
        "models_app.Environment", on_delete=models.PROTECT, related_name="rollouts"
    )
    release = models.ForeignKey("models_app.Release", on_delete=models.PROTECT, related_name="rollouts")
    beside = models.ForeignKey(
        "models_app.Release", on_delete=models.PROTECT, related_name="+", help_text="what was live"
    )
    policy = models.ForeignKey("models_app.GatePolicy", on_delete=models.PROTECT, related_name="+")
    step = models.PositiveSmallIntegerField(default=0, help_text="of the policy's; past the last, it bakes")
    began_at = models.DateTimeField(default=timezone.now)
    step_began_at = models.DateTimeField(default=timezone.now)
    held_since = models.DateTimeField(null=True, blank=True)
    held_reason = models.TextField(blank=True)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_reason = models.TextField(blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True)
    reason = models.TextField(blank=True, help_text="why it ended")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment"], condition=Q(ended_at=None), name="rollout_one_open_per_environment"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None, outcome="") | Q(ended_at__isnull=False) & ~Q(outcome=""),
                name="rollout_ended_has_outcome",
            ),
            models.CheckConstraint(
                condition=Q(paused_by=None, paused_at=None)
                | Q(paused_by__isnull=False, paused_at__isnull=False),
                name="rollout_pause_has_person",
            ),
            models.CheckConstraint(condition=~Q(release=F("beside")), name="rollout_beside_another"),
        ]

    def __str__(self) -> str:
        return f"rollout {self.pk}"


class RolloutLook(models.Model):
    """One look at one measure: counts since the rollout began (the live release's with those of the day before), and
    what they would have had to be. See `models_app.rollouts.looks`."""

    class Measure(models.TextChoices):
        ERRORS = "errors"
        COMPLAINTS = "complaints"
        WISHES = "wishes", "wishes for refinement"

    rollout = models.ForeignKey(Rollout, on_delete=models.PROTECT, related_name="looks")
    measure = models.CharField(max_length=12, choices=Measure)
    number = models.PositiveSmallIntegerField()
    canary_requests = models.PositiveIntegerField()
    canary_events = models.PositiveIntegerField()
    live_requests = models.PositiveIntegerField()
    live_events = models.PositiveIntegerField()
    concurrent_requests = models.PositiveIntegerField(help_text="the live release's since the rollout began")
    concurrent_events = models.PositiveIntegerField()
    boundary = models.PositiveIntegerField(
        null=True, help_text="canary events that stop it; none can, where null"
    )
    p = models.FloatField()
    spent = models.FloatField()
    concurrent_p = models.FloatField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["rollout", "measure", "number"]
        constraints = [
            models.UniqueConstraint(fields=["rollout", "measure", "number"], name="rollout_look_number"),
            models.CheckConstraint(
                condition=Q(canary_events__lte=F("canary_requests"), live_events__lte=F("live_requests")),
                name="rollout_look_counts",
            ),
        ]


class FuseLift(models.Model):
    """Somebody said that releases may start again after too many rollbacks in a day; earlier ones do not count."""

    environment = models.ForeignKey(
        "models_app.Environment", on_delete=models.PROTECT, related_name="fuse_lifts"
    )
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=~Q(reason=""), name="fuse_lift_has_reason")]
