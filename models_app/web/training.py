"""Training runs: the list, the form, and a run as it happens."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation.errors import GalleyError
from models_app.foundation.roles import require
from models_app.ml.recipe import PRESETS, Recipe
from models_app.models import DatasetSnapshot, ModelVersion, PromptVersion, TrainingMetric, TrainingRun
from models_app.texts.normalise import row_number
from models_app.training.outcomes import kept_in_words
from models_app.training.starting import cancel_training, resume_training, start_training
from models_app.web import charts
from models_app.web.fields import field_of
from models_app.web.pages import capability, is_fragment, page_or_fragment, paginate

RECIPE_FIELDS = (
    "method", "optimizer", "learning_rate", "schedule", "warmup_fraction", "epochs", "batch_tokens",
    "gradient_accumulation", "max_source_tokens", "max_target_tokens", "weight_decay", "precision",
    "gradient_checkpointing", "validations_per_epoch", "keep", "patience", "train_last_layers", "lora_rank",
    "lora_alpha", "lora_dropout", "seed",
)  # fmt: skip


class SnapshotChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.name} ({obj.train_rows:,} training rows)"


class RunForm(forms.Form):
    """What is trained on what; the recipe starts from a preset and can be changed field by field."""

    snapshot = SnapshotChoice(DatasetSnapshot.objects.all(), empty_label=None)
    base = forms.ChoiceField(
        label="Base model", help_text="A registered model, or one that is fetched first."
    )
    other_base = forms.CharField(
        label="Another base",
        required=False,
        max_length=200,
        help_text="A directory below one of the places that the operator has named, or a Hugging Face name such as "
        "google-t5/t5-small; used instead of the above.",
    )
    prompt_version = forms.ModelChoiceField(
        PromptVersion.objects.select_related("prompt"), label="Prompt", empty_label=None
    )
    preset = forms.ChoiceField(
        choices=[(name, name) for name in PRESETS], help_text="Sensible values; change single fields below."
    )
    method = field_of(Recipe, "method", choices=[("full", "Full model or last layers"), ("lora", "LoRA")])
    optimizer = field_of(Recipe, "optimizer")
    learning_rate = field_of(Recipe, "learning_rate")
    schedule = field_of(Recipe, "schedule")
    warmup_fraction = field_of(Recipe, "warmup_fraction")
    epochs = field_of(Recipe, "epochs", required=True)
    batch_tokens = field_of(
        Recipe, "batch_tokens", help_text="Padded tokens in a batch; articles of like length share one."
    )
    gradient_accumulation = field_of(Recipe, "gradient_accumulation")
    max_source_tokens = field_of(Recipe, "max_source_tokens")
    max_target_tokens = field_of(Recipe, "max_target_tokens")
    weight_decay = field_of(Recipe, "weight_decay")
    precision = field_of(Recipe, "precision")
    gradient_checkpointing = field_of(
        Recipe, "gradient_checkpointing", help_text="Less memory, somewhat slower."
    )
    validations_per_epoch = field_of(Recipe, "validations_per_epoch")
    keep = field_of(
        Recipe,
        "keep",
        label="Weights to keep",
        choices=[("best", "of the lowest validation loss"), ("last", "of the end")],
    )
    patience = field_of(Recipe, "patience", help_text="Stop after so many validations without gain.")
    train_last_layers = field_of(Recipe, "train_last_layers", help_text="Empty: all layers.")
    lora_rank = field_of(Recipe, "lora_rank")
    lora_alpha = field_of(Recipe, "lora_alpha")
    lora_dropout = field_of(Recipe, "lora_dropout")
    seed = field_of(Recipe, "seed")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        registered = [
            (f"model:{version.pk}", f"{version} · {version.family}")
            for version in ModelVersion.objects.exclude(artefact="")
        ]
        base = self.fields["base"]
        assert isinstance(base, forms.ChoiceField)
        base.choices = [*registered, ("starter", "starter (SmolLM2-135M-Instruct, works offline)")]

    def recipe(self) -> Recipe:
        """Raises ValueError that names the field where values contradict each other."""
        base = self.cleaned_data["other_base"] or self.cleaned_data["base"]
        return PRESETS[self.cleaned_data["preset"]].but(
            base=base, **{name: self.cleaned_data[name] for name in RECIPE_FIELDS}
        )


def _initial(request: HttpRequest) -> dict[str, Any]:
    preset = request.GET.get("preset", "")
    with_weights = ModelVersion.objects.exclude(artefact="")
    asked = request.GET.get("base", "")
    chosen = with_weights.filter(pk=row_number(asked) or 0).first()
    newest = chosen or with_weights.first()
    if preset not in PRESETS:
        llama = newest is None or newest.family == "llama"
        cuda = settings.GALLEY_DEVICE == "cuda"
        preset = ("starter-gpu" if cuda else "starter-cpu") if llama else "t5-default"
    recipe = PRESETS[preset]
    kind = "chat" if newest is None or newest.family == "llama" else "prefix"
    prompt = PromptVersion.objects.filter(prompt__kind=kind).order_by("-pk").first()
    return {
        "preset": preset,
        "snapshot": request.GET.get("snapshot") or DatasetSnapshot.objects.first(),
        "base": f"model:{newest.pk}" if newest else "starter",
        "prompt_version": prompt,
        **{name: getattr(recipe, name) for name in RECIPE_FIELDS},
    }


@require_safe
@capability("view_models")
def runs(request: HttpRequest) -> HttpResponse:
    rows = TrainingRun.objects.select_related("snapshot", "requested_by", "job").order_by("-pk")
    page = paginate(request, rows, 30)
    active = any(run.is_active for run in page)
    return page_or_fragment(
        request,
        "models_app/training/index.html",
        "models_app/training/_list.html",
        {"page": page, "active": active},
    )


@capability("train")
def new_run(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        form = RunForm(request.POST)
        if form.is_valid():
            run = _start(request, form)
            if run is not None:
                messages.success(request, f"Training {run.pk} is queued.")
                return redirect("training_run", run.pk)
        return render(request, "models_app/training/new.html", _form_context(form), status=422)
    form = RunForm(initial=_initial(request))
    template = (
        "models_app/training/_recipe_fields.html" if is_fragment(request) else "models_app/training/new.html"
    )
    return render(request, template, _form_context(form))


def _form_context(form: RunForm) -> dict[str, Any]:
    common = ("method", "epochs", "learning_rate", "max_source_tokens", "max_target_tokens", "seed")
    return {
        "form": form,
        "common": [form[name] for name in common],
        "advanced": [form[name] for name in RECIPE_FIELDS if name not in common],
        "snapshots": DatasetSnapshot.objects.exists(),
        "least": settings.GALLEY_MIN_TRAINING_EXAMPLES,
    }


def _start(request: HttpRequest, form: RunForm) -> TrainingRun | None:
    try:
        recipe = form.recipe()
    except ValueError as error:
        name, _, message = str(error).partition(": ")
        form.add_error(name if name in form.fields else None, message or str(error))
        return None
    try:
        return start_training(
            snapshot=form.cleaned_data["snapshot"],
            base=recipe.base,
            prompt_version=form.cleaned_data["prompt_version"],
            recipe=recipe,
            actor=request.user,
        )
    except GalleyError as error:
        for name, message in (error.fields or {"": error.message}).items():
            form.add_error(name if name in form.fields else None, message)
        return None


def loss_chart(run: TrainingRun) -> str:
    metrics = list(TrainingMetric.objects.filter(run=run).order_by("step"))
    return charts.line_chart(
        [
            charts.Series("training", [(m.step, m.loss) for m in metrics if m.loss is not None]),
            charts.Series(
                "validation", [(m.step, m.validation_loss) for m in metrics if m.validation_loss is not None]
            ),
        ],
        title=f"Loss of training {run.pk}",
        x_name="step",
        y_name="loss per token",
        best=_kept(run, metrics),
    )


def _kept(run: TrainingRun, metrics: list[TrainingMetric]) -> tuple[float, float] | None:
    """Step and validation loss of the weights that were kept."""
    step = run.summary.get("best_step")
    return next(
        ((m.step, m.validation_loss) for m in metrics if m.step == step and m.validation_loss is not None),
        None,
    )


def _kept_words(run: TrainingRun) -> str:
    if "best_step" not in run.summary:
        return ""
    measured = TrainingMetric.objects.filter(run=run, validation_loss__isnull=False).order_by("step")
    return kept_in_words(
        keep=run.recipe.get("keep", "best"),
        step=run.summary["best_step"],
        loss=run.summary["validation_loss"],
        validations=[(row.step, row.validation_loss) for row in measured if row.validation_loss is not None],
    )


@require_safe
@capability("view_models")
def run_page(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(
        TrainingRun.objects.select_related(
            "snapshot", "prompt_version__prompt", "base_model", "job", "requested_by"
        ),
        pk=pk,
    )
    last = TrainingMetric.objects.filter(run=run).order_by("-step").first()
    model_id = run.summary.get("model_version")
    context = {
        "run": run,
        "chart": loss_chart(run),
        "last": last,
        "kept": _kept_words(run),
        "model": ModelVersion.objects.filter(pk=model_id).first() if model_id else None,
        "recipe": [(name, run.recipe.get(name)) for name in ("preset", *RECIPE_FIELDS)],
        "share": run.step / run.total_steps if run.total_steps else None,
    }
    return page_or_fragment(request, "models_app/training/run.html", "models_app/training/_run.html", context)


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(TrainingRun, pk=pk)
    cancel_training(run=run, actor=request.user)
    messages.info(
        request, f"Training {pk} is {run.state}." if not run.is_active else f"Training {pk} will stop."
    )
    return redirect("training_run", pk)


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    require(request.user, "train")
    run = get_object_or_404(TrainingRun, pk=pk)
    resume_training(run=run, actor=request.user)
    messages.success(request, f"Training {pk} goes on from its last checkpoint.")
    return redirect("training_run", pk)


urlpatterns = [
    path("", runs, name="training"),
    path("new/", new_run, name="training_new"),
    path("<int:pk>/", run_page, name="training_run"),
    path("<int:pk>/cancel/", cancel, name="training_cancel"),
    path("<int:pk>/resume/", resume, name="training_resume"),
]
