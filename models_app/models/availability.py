from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class ServiceInterval(models.Model):
    """What the supervisor saw of the service from `began_at` to `seen_at`, by the database's clock.

    The supervisor asks `/readyz` every few seconds (`llmops_site/supervisor/availability.py`) and moves `seen_at` on
    while the answer stays the same: a row for each change. What no row covers was not seen to be ready.
    """

    class State(models.TextChoices):
        READY = "ready"  # /readyz answered 200
        NOT_READY = "not ready"
        STOPPED = "stopped"  # somebody asked Galley to stop; lasts until the next row

    state = models.CharField(max_length=10, choices=State)
    reason = models.CharField(
        max_length=300, blank=True, help_text="what /readyz said, or why it said nothing"
    )
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(seen_at__gte=F("began_at")), name="service_interval_order"),
            models.CheckConstraint(
                condition=Q(state__in=["ready", "not ready", "stopped"]), name="service_interval_state"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} from {self.began_at} to {self.seen_at}"
