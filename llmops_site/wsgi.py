import os

from django.core.wsgi import get_wsgi_application

from llmops_site import private
from models_app.foundation import doors

private.keep_new_files_private()
doors.of_process(doors.Kind.GALLEY, "web")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")
application = get_wsgi_application()

from django.conf import settings  # noqa: E402

# Of one statement of a page or an API call; whatever takes longer is a job's work.
settings.DATABASES["default"]["OPTIONS"]["statement_seconds"] = 15
