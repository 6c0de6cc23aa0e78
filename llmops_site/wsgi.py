import os

from django.core.wsgi import get_wsgi_application

from llmops_site import private
from models_app import doors
from models_app.foundation.postgresql.base import limit_statements

private.keep_new_files_private()
doors.of_process(doors.Kind.GALLEY, "web")
limit_statements(15)  # seconds: whatever takes longer than a page may is a job's work
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")
_django = get_wsgi_application()

from django.urls import get_resolver  # noqa: E402

# Every view is imported before the first request comes: it would wait for that, a second and a half on a quiet machine.
get_resolver().url_patterns  # noqa: B018

from models_app.api.plain import PlainSummaries  # noqa: E402
from models_app.serving.keeping import keeper  # noqa: E402

keeper.start()
application = PlainSummaries(_django, keeper)
