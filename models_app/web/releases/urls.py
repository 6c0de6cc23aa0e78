from __future__ import annotations

from django.urls import path

from models_app.web.releases.composing import new_release
from models_app.web.releases.deciding import comment, decide, review, withdraw
from models_app.web.releases.files import card, evidence
from models_app.web.releases.listing import releases
from models_app.web.releases.page import release_page

urlpatterns = [
    path("", releases, name="releases"),
    path("new/", new_release, name="release_new"),
    path("<int:pk>/", release_page, name="release"),
    path("<int:pk>/evidence.json", evidence, name="release_evidence"),
    path("<int:pk>/card/", card, name="release_card"),
    path("<int:pk>/decide/", decide, name="release_decide"),
    path("<int:pk>/comment/", comment, name="release_comment"),
    path("<int:pk>/withdraw/", withdraw, name="release_withdraw"),
    path("incidents/<int:pk>/review/", review, name="incident_review"),
]
