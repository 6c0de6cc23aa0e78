"""Ratings from elsewhere: a file handed in, what its columns mean with the first rows, progress, the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError, InvalidInput, Refused
from models_app.foundation.roles import require
from models_app.web.pages import capability, is_fragment, page_or_fragment, paginate
from reviews.external_ratings import imports
from reviews.external_ratings import rows as rating_rows
from reviews.external_ratings.imports import Options
from reviews.ingest import batches, uploads
from reviews.models import Criterion, RatingImport
from reviews.web.ingest.uploading import came_whole

PER_PAGE = 20
REFUSALS_SHOWN = 100
KINDS = (("reviews", "ratings and edits of one summary"), ("pairwise", "choices between two summaries"))
LABELS = {
    "text": "Article", "external_id": "Id of the article", "title": "Title", "domain": "Domain",
    "reference": "Reference summary", "summary": "Summary", "system": "What wrote it", "rater": "Rater",
    "stars": "Stars", "verdict": "Verdict", "edited_text": "Corrected summary", "comment": "Comment", "at": "Time",
    "before": "Summary before", "after": "Summary after", "before_system": "What wrote the one before",
    "after_system": "What wrote the one after", "choice": "Choice", "strength": "Strength",
}  # fmt: skip


class FileForm(forms.Form):
    kind = forms.ChoiceField(choices=KINDS, label="It holds")
    file = forms.FileField(label="File", help_text="JSON Lines, a JSON list, CSV, TSV or Parquet")


class MappingForm(forms.Form):
    """Fields of the mapping are named map_…; each offers the paths that were found in the file."""

    low = forms.FloatField(initial=1, label="Numbers from")
    high = forms.FloatField(initial=5, label="to")
    rounding = forms.BooleanField(
        required=False,
        label="Round to the nearest point",
        help_text="Else numbers between two points are refused.",
    )
    propose = forms.BooleanField(
        required=False,
        initial=True,
        label="Propose edits as examples",
        help_text="They wait to be decided on.",
    )
    raters = forms.CharField(
        required=False, label="Names of raters", widget=forms.Textarea(attrs={"rows": 3}),
        help_text="A line for each: value=name. They become accounts that cannot sign in.",
    )  # fmt: skip
    queue = forms.CharField(
        max_length=100, required=False, label="Queue", help_text="By the file’s name unless given."
    )
    origin = forms.CharField(max_length=120, required=False, label="Origin", help_text="Of new articles.")
    licence = forms.CharField(max_length=120, required=False, label="Licence", help_text="Of new articles.")

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.names = [*rating_rows.DOCUMENT_FIELDS, *rating_rows.KINDS[kind]]
        labels = dict(LABELS)
        if kind == "reviews":
            criteria = Criterion.objects.filter(rubric=imports.rubric_of(Options()))
            questions = {f"{rating_rows.RATING}{one.key}": one.name for one in criteria}
            labels |= questions
            at = self.names.index("stars")
            self.names[at:at] = questions
        else:
            del self.fields["propose"], self.fields["low"], self.fields["high"], self.fields["rounding"]
        for name in self.names:
            self.fields[f"map_{name}"] = forms.CharField(
                max_length=300,
                required=name in rating_rows.NEEDED[kind],
                label=labels[name],
                widget=forms.TextInput(
                    attrs={"list": "paths", "autocapitalize": "off", "autocomplete": "off"}
                ),
            )

    @property
    def mapping_fields(self) -> list[forms.BoundField]:
        return [self[f"map_{name}"] for name in self.names]

    @property
    def other_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if not name.startswith("map_")]

    def mapping(self) -> dict[str, str]:
        return {name: path for name in self.names if (path := (self[f"map_{name}"].value() or "").strip())}

    def clean_raters(self) -> dict[str, str]:
        found = {}
        for line in self.cleaned_data["raters"].splitlines():
            value, sign, name = line.partition("=")
            if line.strip() and not (sign and value.strip() and name.strip()):
                raise forms.ValidationError(f"{line[:40]!r}: write value=name.")
            if line.strip():
                found[value.strip()] = name.strip()
        return found

    def options(self) -> Options:
        values = self.cleaned_data
        return Options(
            kind=self.kind,
            mapping=self.mapping(),
            scale=(values.get("low", 1.0), values.get("high", 5.0)),
            rounding=values.get("rounding", False),
            raters=values["raters"],
            queue=values["queue"],
            origin=values["origin"],
            licence=values["licence"],
            propose=values.get("propose", True),
        )


def _batch(request: HttpRequest, pk: int) -> RatingImport:
    require(request.user, "import_documents")
    return get_object_or_404(RatingImport.objects.select_related("job", "imported_by"), pk=pk)


# ---------------------------------------------------------------- handing in


@capability("manage_queues")
def index(request: HttpRequest) -> HttpResponse:
    require(request.user, "import_documents")
    form = FileForm()
    status = 200
    if request.method == "POST":
        form = FileForm(request.POST, request.FILES)
        batch = _hand_in(request, form)
        if batch is not None:
            return redirect("rating_import", batch.pk)
        status = 422
    page = paginate(request, imports.newest_first(), PER_PAGE)
    context = {
        "form": form,
        "page": page,
        "rows": [(row, batches.status_of(row)) for row in page],
        "limit_mb": settings.GALLEY_MAX_UPLOAD_MB,
    }
    return render(request, "reviews/external_ratings/index.html", context, status=status)


def _hand_in(request: HttpRequest, form: FileForm) -> RatingImport | None:
    """None where the form says what is wrong."""
    if not came_whole(request, form):
        return None
    upload: UploadedFile = form.cleaned_data["file"]
    try:
        kept = uploads.keep(chunks=upload.chunks(), name=upload.name or "", place=imports.PLACE)
        return imports.hand_in(path=kept, options=Options(kind=form.cleaned_data["kind"]), actor=request.user)
    except GalleyError as error:
        form.add_error("file", error.message)
        return None


# ---------------------------------------------------------------- one file


@require_safe
@capability("manage_queues")
def batch_page(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(request, pk)
    context = _context(batch)
    answer = page_or_fragment(
        request, "reviews/external_ratings/import.html", "reviews/external_ratings/_progress.html", context
    )
    if is_fragment(request) and context["status"] not in ("looking", "importing"):
        answer["HX-Refresh"] = "true"  # it has ended: the page has other parts now
    return answer


def _context(batch: RatingImport, form: MappingForm | None = None) -> dict[str, Any]:
    status = batches.status_of(batch)
    context: dict[str, Any] = {"batch": batch, "status": status, "options": Options.of(batch)}
    if status == "imported":
        shown = [
            (row, _label(name), reason) for row, name, reason in batch.report["refused"][:REFUSALS_SHOWN]
        ]
        return {**context, "report": batch.report, "refused": shown}
    if status in ("looking", "importing"):
        total = batch.job.total if batch.job else 0
        return {**context, "share": batch.job.step / total if batch.job and total else None}
    if not batch.report.get("sample"):
        return context
    form = form or _form(batch)
    return {**context, "form": form, "paths": batch.report["sample"]["paths"], **_preview(batch, form)}


def _label(name: str) -> str:
    return LABELS.get(name, name.removeprefix(rating_rows.RATING))


def _form(batch: RatingImport, data: Mapping[str, Any] | None = None) -> MappingForm:
    options = Options.of(batch)
    guessed = rating_rows.guess(batch.report["sample"]["paths"], imports.criteria_of(options), options.kind)
    initial: dict[str, Any] = {f"map_{name}": path for name, path in (options.mapping or guessed).items()}
    initial |= {
        name: getattr(options, name) for name in ("rounding", "propose", "queue", "origin", "licence")
    }
    initial |= {"low": options.scale[0], "high": options.scale[1]}
    initial["raters"] = "\n".join(f"{value}={name}" for value, name in options.raters.items())
    return MappingForm(data, initial=initial, kind=options.kind)


def _preview(batch: RatingImport, form: MappingForm) -> dict[str, Any]:
    if form.is_bound and form.is_valid():
        options = form.options()
    else:
        rounding = "rounding" in form.fields and bool(form["rounding"].value())
        options = Options(kind=form.kind, mapping=form.mapping(), rounding=rounding)
    try:
        rows = imports.looked(sample=batch.report["sample"], options=options)
    except InvalidInput as error:
        return {"problems": [(_label(name), words) for name, words in error.fields.items()], "looked": []}
    return {"looked": rows, "bad": sum(one.row is None for one in rows)}


@require_POST
@capability("manage_queues")
def preview(request: HttpRequest, pk: int) -> HttpResponse:
    """The first rows by the mapping in the form, as a fragment."""
    batch = _batch(request, pk)
    if not batch.report.get("sample"):
        raise Refused(f"There are no rows of {batch.name} to show now. Reload the page.")
    form = _form(batch, request.POST)
    return render(request, "reviews/external_ratings/_sample.html", {"batch": batch, **_preview(batch, form)})


@require_POST
@capability("manage_queues")
def start(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(request, pk)
    if batches.is_imported(batch):
        messages.info(request, f"{batch.name} has been imported already.")
        return redirect("rating_import", pk)
    if not batch.report.get("sample"):
        return redirect("rating_import", pk)
    form = _form(batch, request.POST)
    if "preview" not in request.POST and form.is_valid():
        try:
            imports.start(batch=batch, options=form.options(), actor=request.user)
        except InvalidInput as error:
            for name, message in (error.fields or {"": error.message}).items():
                field = f"map_{name}" if f"map_{name}" in form.fields else {"scale": "low"}.get(name, name)
                form.add_error(field if field in form.fields else None, message)
        else:
            return redirect("rating_import", pk)
    status = 422 if form.errors and "preview" not in request.POST else 200
    return render(request, "reviews/external_ratings/import.html", _context(batch, form), status=status)


@require_POST
@capability("manage_queues")
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(request, pk)
    if batch.job is not None:
        jobs.request_cancel(job=batch.job, actor=request.user)
        messages.info(request, "The import will stop. Nothing of it is kept.")
    return redirect("rating_import", pk)


@require_POST
@capability("manage_queues")
def discard(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(request, pk)
    imports.discard(batch=batch, actor=request.user)
    messages.success(request, f"{batch.name} is forgotten.")
    return redirect("rating_imports")


urlpatterns = [
    path("", index, name="rating_imports"),
    path("<int:pk>/", batch_page, name="rating_import"),
    path("<int:pk>/preview/", preview, name="rating_import_preview"),
    path("<int:pk>/start/", start, name="rating_import_start"),
    path("<int:pk>/cancel/", cancel, name="rating_import_cancel"),
    path("<int:pk>/discard/", discard, name="rating_import_discard"),
]
