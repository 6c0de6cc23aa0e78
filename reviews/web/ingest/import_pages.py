"""The pages of imports, for every kind of them: submit, what was submitted before, one import with its mapping and its
first rows, progress, report.

A kind says which forms it has and what is shown of its rows; addresses and templates are those of its `ImportPages`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST, require_safe

from models_app.foundation import jobs
from models_app.foundation.errors import GalleyError, InvalidInput, Refused
from models_app.foundation.roles import allowed, require
from models_app.web.pages import is_fragment, page_or_fragment, paginate
from reviews.ingest import uploads
from reviews.ingest.life import FileOptions, ImportKind
from reviews.models import Import
from reviews.web.ingest.uploading import came_whole

PER_PAGE = 20
ROWS_SHOWN = 100
MAPPED = "map_"

Row = TypeVar("Row", bound=Import)
Options = TypeVar("Options", bound=FileOptions)


class MappingForm(forms.Form):
    """What is in which column: fields named map_…; and what is the same for all rows: the others."""

    def mapped(self, name: str, field: forms.Field) -> None:
        self.fields[f"{MAPPED}{name}"] = field

    @property
    def mapping_fields(self) -> list[forms.BoundField]:
        return [field for field in self if field.name.startswith(MAPPED)]

    @property
    def other_fields(self) -> list[forms.BoundField]:
        return [field for field in self if not field.name.startswith(MAPPED)]

    def mapping(self) -> dict[str, str]:
        """As the form shows it, whether it was sent or not; "" for none."""
        return {field.name.removeprefix(MAPPED): field.value() or "" for field in self.mapping_fields}

    def tell(self, error: InvalidInput) -> None:
        """Say at its fields what is wrong."""
        for name, message in (error.fields or {"": error.message}).items():
            places = (f"{MAPPED}{name}", self.also_named(name))
            self.add_error(next((place for place in places if place in self.fields), None), message)

    def also_named(self, name: str) -> str:
        """The form's name of an option that is no column."""
        return name


class ImportPages(ABC, Generic[Row, Options]):
    """One kind of imports on its pages."""

    kind: ImportKind[Row, Options, Any]
    #: Of its addresses: document_imports, document_import, document_import_start …
    name: ClassVar[str]
    #: The folder of its templates imports.html, import.html and _row.html.
    templates: ClassVar[str]
    #: What a person must be allowed to do to see one import; `kind.needs` is asked for all else.
    seen_by: ClassVar[tuple[str, ...]]
    #: Words for what is submitted, for what rows become, and for rows that were there already.
    submitted_word: ClassVar[str]
    rows_become: ClassVar[str]
    repeated_word: ClassVar[str]

    @abstractmethod
    def upload_forms(self, request: HttpRequest) -> dict[str, forms.Form]:
        """By their names in the template; the one that was sent is bound."""

    @abstractmethod
    def options_of_file(self, form: forms.Form) -> Options:
        """What a form with a file says of it."""

    def submit(self, request: HttpRequest, form: forms.Form) -> Row:
        """Raises GalleyError."""
        upload: UploadedFile = form.cleaned_data["file"]
        kept = uploads.keep(chunks=upload.chunks(), name=upload.name or "", place=self.kind.place)
        return self.kind.submit_file(path=kept, options=self.options_of_file(form), actor=request.user)

    @abstractmethod
    def mapping_form(self, row: Row, data: Mapping[str, Any] | None = None) -> MappingForm:
        """For an import that was looked at; what columns usually hold is filled in."""

    @abstractmethod
    def options_of_mapping(self, row: Row, form: MappingForm) -> Options:
        """What a valid form says."""

    @abstractmethod
    def preview(self, row: Row, form: MappingForm) -> dict[str, Any]:
        """`rows` as they would come in, each with its number and problem, or `problems` [(field, words)]."""

    @abstractmethod
    def label(self, name: str) -> str:
        """The words for a field of a row."""

    def report(self, row: Row) -> dict[str, Any]:
        """What its page shows of the report besides the counts and the refused rows."""
        return {}

    def list_context(self) -> dict[str, Any]:
        return {}

    def address(self, what: str, pk: int) -> str:
        return reverse(f"{self.name}{what}", args=[pk])


Pages = ImportPages[Any, Any]


def _row(request: HttpRequest, pages: Pages, pk: int, *, only_see: bool = False) -> Any:
    for capability in pages.seen_by if only_see else pages.kind.needs:
        require(request.user, capability)
    return get_object_or_404(pages.kind.table.objects.select_related("job", "imported_by"), pk=pk)


# ---------------------------------------------------------------- submitted


def index(request: HttpRequest, pages: Pages) -> HttpResponse:
    """What can be submitted, and what was before."""
    pages.kind.allow(request.user)
    upload_forms = pages.upload_forms(request)
    sent = [form for form in upload_forms.values() if form.is_bound]
    for form in sent:
        row = _submitted(request, pages, form)
        if row is not None:
            return redirect(pages.name, row.pk)
    page = paginate(request, pages.kind.table.objects.newest_first(), PER_PAGE)
    context = {
        **upload_forms,
        **pages.list_context(),
        "pages": pages,
        "page": page,
        "rows": [(row, pages.address("", row.pk)) for row in page],
        "active": any(row.job and row.job.is_active for row in page),
        "list_address": reverse(f"{pages.name}s"),
        "limit_mb": settings.GALLEY_MAX_UPLOAD_MB,
    }
    whole = f"{pages.templates}/imports.html"
    if sent:
        return render(request, whole, context, status=422)
    return page_or_fragment(request, whole, "reviews/ingest/_import_list.html", context)


def _submitted(request: HttpRequest, pages: Pages, form: forms.Form) -> Import | None:
    """None where the form says what is wrong."""
    if not came_whole(request, form):
        return None
    try:
        row: Import = pages.submit(request, form)
    except GalleyError as error:
        at = [name for name in error.fields if name in form.fields]
        form.add_error(at[0] if at else "file" if "file" in form.fields else None, error.message)
        return None
    return row


# ---------------------------------------------------------------- one import


@require_safe
def one(request: HttpRequest, pk: int, pages: Pages) -> HttpResponse:
    row = _row(request, pages, pk, only_see=True)
    context = _context(request, pages, row)
    answer = page_or_fragment(
        request, f"{pages.templates}/import.html", "reviews/ingest/_import_progress.html", context
    )
    if is_fragment(request) and row.status not in Import.RUNNING:
        answer["HX-Refresh"] = "true"  # it has ended: the page has other parts now
    return answer


def _context(request: HttpRequest, pages: Pages, row: Any, form: MappingForm | None = None) -> dict[str, Any]:
    job = row.job
    context: dict[str, Any] = {
        "pages": pages,
        "batch": row,
        "status": row.status,
        "running": row.status in Import.RUNNING,
        "options": pages.kind.options_of(row),
        "may_act": all(allowed(request.user, capability) for capability in pages.kind.needs),
        "share": job.step / job.total if job and job.total else None,
        "address": {
            name: pages.address(f"_{name}", row.pk) for name in ("preview", "start", "cancel", "discard")
        },
        "page_address": pages.address("", row.pk),
        "list_address": reverse(f"{pages.name}s"),
    }
    if row.is_imported:
        refused = row.report["refused"][:ROWS_SHOWN]
        return {
            **context,
            "report": row.report,
            "repeated_count": row.report[row.REPEATED],
            "kept": ROWS_SHOWN,
            "refused": [(number, pages.label(name), reason) for number, name, reason in refused],
            **pages.report(row),
        }
    if context["may_act"] and not context["running"] and row.sample:
        form = form or pages.mapping_form(row)
        context |= {"form": form, "sample": row.sample, **_preview(pages, row, form)}
    return context


def _preview(pages: Pages, row: Any, form: MappingForm) -> dict[str, Any]:
    shown = {"rows": [], **pages.preview(row, form)}
    return {
        **shown,
        "row_template": f"{pages.templates}/_row.html",
        "refused_rows": sum(bool(one.problem) for one in shown["rows"]),
    }


@require_POST
def preview(request: HttpRequest, pk: int, pages: Pages) -> HttpResponse:
    """The first rows by the mapping in the form, as a fragment."""
    row = _row(request, pages, pk)
    if not row.sample:
        raise Refused(f"There are no rows of {row.name} to show now. Reload the page.")
    context = {"batch": row, **_preview(pages, row, pages.mapping_form(row, request.POST))}
    return render(request, "reviews/ingest/_import_sample.html", context)


@require_POST
def start(request: HttpRequest, pk: int, pages: Pages) -> HttpResponse:
    row = _row(request, pages, pk)
    if not row.sample:
        if row.is_imported:
            messages.info(request, f"{row.name} has been imported already.")
        return redirect(pages.name, pk)
    form = pages.mapping_form(row, request.POST)
    only_preview = "preview" in request.POST
    if not only_preview and form.is_valid():
        try:
            pages.kind.start(row=row, options=pages.options_of_mapping(row, form), actor=request.user)
        except InvalidInput as error:
            form.tell(error)
        else:
            return redirect(pages.name, pk)
    status = 422 if form.errors and not only_preview else 200
    context = _context(request, pages, row, form)
    return render(request, f"{pages.templates}/import.html", context, status=status)


@require_POST
def cancel(request: HttpRequest, pk: int, pages: Pages) -> HttpResponse:
    row = _row(request, pages, pk)
    if row.job is not None:
        jobs.request_cancel(job=row.job, actor=request.user)
        messages.info(request, "The import will stop. Nothing of it is kept.")
    return redirect(pages.name, pk)


@require_POST
def discard(request: HttpRequest, pk: int, pages: Pages) -> HttpResponse:
    row = _row(request, pages, pk)
    pages.kind.discard(row=row, actor=request.user)
    messages.success(request, f"{row.name} is forgotten.")
    return redirect(f"{pages.name}s")


def addresses(pages: Pages) -> list[URLPattern]:
    def at(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        return path(route, view, {"pages": pages}, name=f"{pages.name}{name}")

    return [
        at("", index, "s"),
        at("<int:pk>/", one, ""),
        at("<int:pk>/preview/", preview, "_preview"),
        at("<int:pk>/start/", start, "_start"),
        at("<int:pk>/cancel/", cancel, "_cancel"),
        at("<int:pk>/discard/", discard, "_discard"),
    ]
