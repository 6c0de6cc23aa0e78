"""Under which names pages find scripts, styles and pictures."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ModuleStorage(CompressedManifestStaticFilesStorage):
    """Browsers keep files for ever, since a name carries the hash of the content; imports name it, too.

    Only in our own scripts: what packages bring is built for their own names.
    """

    support_js_module_import_aggregation = True
    _js_module_import_aggregation_patterns = (
        "js/*.js",
        CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns[1],
    )
