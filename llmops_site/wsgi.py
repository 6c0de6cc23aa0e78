import os

from django.core.wsgi import get_wsgi_application

from llmops_site import private

private.keep_new_files_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmops_site.settings")
application = get_wsgi_application()
