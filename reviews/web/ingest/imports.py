"""Importing: a file or data set handed in, its first rows and what their columns mean, progress, the report."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError, InvalidInput, Refused
from models_app.foundation.roles import allowed
from models_app.web.pages import capability, is_fragment, page_or_fragment, paginate
from reviews.ingest import batches, twins, uploads
from reviews.ingest import imports as importing
from reviews.ingest.columns import guess_columns
from reviews.ingest.imports import ImportOptions
from reviews.ingest.sources.files import FORMATS
from reviews.models import ImportBatch
from reviews.web.ingest.uploading import came_whole

FIELDS = (
    ("text", "Article", "what is summarised"),
    ("reference", "Reference summary", "what evaluations compare with"),
    ("title", "Title", ""),
    ("external_id", "Id", "found again by it"),
    ("domain", "Domain", "news, business …"),
    ("group_key", "Group", "documents of one group share their split"),
    ("licence", "Licence", ""),
)
ROWS_SHOWN = 100


class FileForm(forms.Form):
    format = forms.ChoiceField(
        required=False, choices=[("", "by its name and content"), *FORMATS.items()], label="Format"
    )
    file = forms.FileField(label="File", help_text="JSON Lines, a JSON list, CSV, TSV or Parquet")


class HubForm(forms.Form):
    hub = forms.CharField(
        max_length=200,
        label="Data set",
        help_text="Its name on Hugging Face, such as abisee/cnn_dailymail.",
        widget=forms.TextInput(attrs={"placeholder": "abisee/cnn_dailymail", "autocapitalize": "off"}),
    )
    config = forms.CharField(
        max_length=100, required=False, label="Configuration", help_text="CNN/DailyMail: 3.0.0"
    )
    split = forms.CharField(
        max_length=100,
        required=False,
        label="Part",
        help_text="train unless given. Galley splits by itself, whatever the part is called.",
    )


class OptionsForm(forms.Form):
    """What is the same for all rows. The mapping's fields are added by the columns of the batch."""

    domain = forms.CharField(max_length=40, required=False, help_text="For rows that name none.")
    origin = forms.CharField(
        max_length=120, required=False, help_text="Where it is from; the file's name unless given."
    )
    licence = forms.CharField(max_length=120, required=False, help_text="For rows that name none.")
    limit = forms.IntegerField(
        min_value=1, max_value=10_000_000, required=False, label="Rows", help_text="All unless given."
    )

    def __init__(self, *args: Any, columns: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "– none –"), *((column, column) for column in columns)]
        for name, label, help_text in FIELDS:
            self.fields[f"map_{name}"] = forms.ChoiceField(
                choices=choices[1:] if name == "text" else choices,
                required=name == "text",
                label=label,
                help_text=help_text,
            )

    @property
    def mapping_fields(self) -> list[forms.BoundField]:
        return [self[f"map_{name}"] for name, _, _ in FIELDS]

    @property
    def other_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in ("domain", "licence", "origin", "limit")]

    def mapping(self) -> dict[str, str]:
        return {name: self.cleaned_data.get(f"map_{name}", "") for name, _, _ in FIELDS}

    def options(self, batch: ImportBatch) -> ImportOptions:
        values = self.cleaned_data
        return replace(
            ImportOptions.of(batch),
            mapping=self.mapping(),
            **{name: values[name] for name in ("domain", "origin", "licence", "limit")},
        )


# ---------------------------------------------------------------- handing in


@capability("import_documents")
def imports(request: HttpRequest) -> HttpResponse:
    """The two ways in, and what came in before."""
    forms_shown: dict[str, FileForm | HubForm] = {"file_form": FileForm(), "hub_form": HubForm()}
    status = 200
    if request.method == "POST":
        by_hub = request.POST.get("from") == "hub"
        form: FileForm | HubForm = HubForm(request.POST) if by_hub else FileForm(request.POST, request.FILES)
        batch = _hand_in(request, form)
        if batch is not None:
            return redirect("import_batch", batch.pk)
        forms_shown["hub_form" if by_hub else "file_form"] = form
        status = 422
    page = paginate(request, importing.newest_first(), 20)
    context = {
        **forms_shown,
        "page": page,
        "rows": [(row, batches.status_of(row)) for row in page],
        "active": any(row.job and row.job.is_active for row in page),
        "limit_mb": settings.GALLEY_MAX_UPLOAD_MB,
        "least_words": settings.GALLEY_MIN_DOCUMENT_WORDS,
        "most_words": settings.GALLEY_MAX_DOCUMENT_WORDS,
        "offline": settings.GALLEY_OFFLINE,
    }
    if status == 422:
        return render(request, "reviews/ingest/imports.html", context, status=status)
    return page_or_fragment(
        request, "reviews/ingest/imports.html", "reviews/ingest/_import_list.html", context
    )


def _hand_in(request: HttpRequest, form: FileForm | HubForm) -> ImportBatch | None:
    """None where the form says what is wrong."""
    if not came_whole(request, form):
        return None
    try:
        if isinstance(form, HubForm):
            return importing.hand_in_hub(options=ImportOptions(**form.cleaned_data), actor=request.user)
        upload: UploadedFile = form.cleaned_data["file"]
        path = uploads.keep(chunks=upload.chunks(), name=upload.name or "", place=importing.PLACE)
        options = ImportOptions(format=form.cleaned_data["format"])
        return importing.hand_in_file(path=path, options=options, actor=request.user)
    except GalleyError as error:
        form.add_error("hub" if isinstance(form, HubForm) else "file", error.message)
        return None


# ---------------------------------------------------------------- a batch


def _batch(pk: int) -> ImportBatch:
    return get_object_or_404(ImportBatch.objects.select_related("job", "imported_by"), pk=pk)


@require_safe
@capability("view_documents")
def batch_page(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(pk)
    context = _context(request, batch)
    answer = page_or_fragment(
        request, "reviews/ingest/import.html", "reviews/ingest/_import_progress.html", context
    )
    if is_fragment(request) and context["status"] not in ("looking", "importing"):
        answer["HX-Refresh"] = "true"  # it has ended: the page has other parts now
    return answer


def _context(request: HttpRequest, batch: ImportBatch, form: OptionsForm | None = None) -> dict[str, Any]:
    status = batches.status_of(batch)
    context: dict[str, Any] = {
        "batch": batch,
        "status": status,
        "options": ImportOptions.of(batch),
        "may_act": allowed(request.user, "import_documents"),
        "kept": ROWS_SHOWN,
        "share": batch.job.step / batch.job.total if batch.job and batch.job.total else None,
    }
    if status == "imported":
        return context | _report(batch)
    if context["may_act"] and status in ("ready", "failed", "cancelled") and batch.report.get("sample"):
        form = form or _options_form(batch)
        context |= {"form": form, "sample": batch.report["sample"]}
        context |= _preview(batch, _mapping_shown(form))
    return context


def _options_form(batch: ImportBatch, data: Mapping[str, Any] | None = None) -> OptionsForm:
    columns = batch.report["sample"]["columns"]
    options = ImportOptions.of(batch)
    # without the text where none can be told; the preview says so then
    mapping = guess_columns(tuple(columns), options.mapping)
    initial = {**asdict(options), **{f"map_{name}": mapping.get(name, "") for name, _, _ in FIELDS}}
    return OptionsForm(data, initial=initial, columns=columns)


def _mapping_shown(form: OptionsForm) -> dict[str, str]:
    return {name: form[f"map_{name}"].value() or "" for name, _, _ in FIELDS}


def _preview(batch: ImportBatch, mapping: Mapping[str, str]) -> dict[str, Any]:
    try:
        columns, rows = importing.sample_rows(batch=batch, mapping=mapping)
    except InvalidInput as error:
        return {"problem": error.message, "rows": []}
    return {"chosen": columns, "rows": rows, "refused": sum(bool(row.problem) for row in rows)}


def _report(batch: ImportBatch) -> dict[str, Any]:
    report = batch.report
    names = {name: label for name, label, _ in FIELDS}
    refused = [(row, names.get(name, name), reason) for row, name, reason in report["refused"][:ROWS_SHOWN]]
    return {
        "report": report,
        "refused": refused,
        "repeated": report.get("repeated", [])[:ROWS_SHOWN],
        "joined": report.get("joined", [])[:ROWS_SHOWN],
        "splits": [(name, report["splits"].get(name, 0)) for name in ("train", "validation", "test")],
        "mapping": [(names[name], column) for name, column in report.get("mapping", {}).items()],
    }


@require_POST
@capability("import_documents")
def preview(request: HttpRequest, pk: int) -> HttpResponse:
    """The first rows by the mapping in the form, as a fragment."""
    batch = _batch(pk)
    if not batch.report.get("sample"):
        raise Refused(f"There are no rows of {batch.name} to show now. Reload the page.")
    form = _options_form(batch, request.POST)
    context = {"batch": batch, **_preview(batch, _mapping_shown(form))}
    return render(request, "reviews/ingest/_import_sample.html", context)


@require_POST
@capability("import_documents")
def start(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(pk)
    if not batch.report.get("sample"):
        if batches.is_imported(batch):
            messages.info(request, f"{batch.name} has been imported already.")
        return redirect("import_batch", pk)
    form = _options_form(batch, request.POST)
    if "preview" not in request.POST and form.is_valid():
        try:
            importing.start_import(batch=batch, options=form.options(batch), actor=request.user)
        except InvalidInput as error:
            for name, message in (error.fields or {"": error.message}).items():
                form.add_error(f"map_{name}" if f"map_{name}" in form.fields else None, message)
        else:
            return redirect("import_batch", pk)
    status = 422 if form.errors and "preview" not in request.POST else 200
    return render(request, "reviews/ingest/import.html", _context(request, batch, form), status=status)


@require_POST
@capability("import_documents")
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(pk)
    if batch.job is not None:
        jobs.request_cancel(job=batch.job, actor=request.user)
        messages.info(request, "The import will stop. Nothing of it is kept.")
    return redirect("import_batch", pk)


@require_POST
@capability("import_documents")
def discard(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(pk)
    importing.discard(batch=batch, actor=request.user)
    messages.success(request, f"{batch.name} is forgotten.")
    return redirect("imports")


# ---------------------------------------------------------------- the report, to keep


class _Line:
    """What csv.writer writes to when every line is wanted at once."""

    def write(self, line: str) -> str:
        return line


def _report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(["result", "row", "field", "reason", "document"])
    for row, name, reason in report.get("refused", []):
        yield writer.writerow(["refused", row, name, reason, ""])
    for row, document in report.get("repeated", []):
        yield writer.writerow(["duplicate", row, "", "the same text is there already", document])
    for row, document, twin, share, split in report.get("joined", []):
        reason = f"joins the {split} split: {twins.percent(share)} % the same as document {twin}"
        yield writer.writerow(["joined", row, "", reason, document])


@require_safe
@capability("view_documents")
def report_csv(request: HttpRequest, pk: int) -> Any:
    batch = _batch(pk)
    answer = StreamingHttpResponse(_report_lines(batch.report), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="import-{pk}.csv"'
    return answer


@require_safe
@capability("view_documents")
def report_json(request: HttpRequest, pk: int) -> HttpResponse:
    batch = _batch(pk)
    report = {key: value for key, value in batch.report.items() if key != "sample"}
    answer = JsonResponse({"name": batch.name, "options": batch.options, "report": report})
    answer["Content-Disposition"] = f'attachment; filename="import-{pk}.json"'
    return answer


urlpatterns = [
    path("", imports, name="imports"),
    path("<int:pk>/", batch_page, name="import_batch"),
    path("<int:pk>/preview/", preview, name="import_preview"),
    path("<int:pk>/start/", start, name="import_start"),
    path("<int:pk>/cancel/", cancel, name="import_cancel"),
    path("<int:pk>/discard/", discard, name="import_discard"),
    path("<int:pk>/report.csv", report_csv, name="import_report_csv"),
    path("<int:pk>/report.json", report_json, name="import_report_json"),
]
