from __future__ import annotations

from django.urls import path

from reviews.web.queues.items import assign, item_page, put_back, send_back, step_aside
from reviews.web.queues.pages import index, queue_page
from reviews.web.queues.people import people_page, take_back, unassign
from reviews.web.queues.rubrics import rubric_new, rubrics
from reviews.web.queues.rules import rule_remove, rules_page
from reviews.web.queues.settings import new, settings_page

urlpatterns = [
    path("", index, name="queues"),
    path("new/", new, name="queue_new"),
    path("rubrics/", rubrics, name="rubrics"),
    path("rubrics/new/", rubric_new, name="rubric_new"),
    path("<slug:slug>/", queue_page, name="queue"),
    path("<slug:slug>/settings/", settings_page, name="queue_settings"),
    path("<slug:slug>/rules/", rules_page, name="queue_rules"),
    path("<slug:slug>/rules/<int:pk>/remove/", rule_remove, name="queue_rule_remove"),
    path("<slug:slug>/people/", people_page, name="queue_people"),
    path("<slug:slug>/people/<str:username>/unassign/", unassign, name="queue_unassign"),
    path("<slug:slug>/assignments/<int:pk>/take-back/", take_back, name="queue_take_back"),
    path("<slug:slug>/items/<int:pk>/", item_page, name="queue_item"),
    path("<slug:slug>/items/<int:pk>/assign/", assign, name="queue_assign"),
    path("<slug:slug>/items/<int:pk>/put-back/", put_back, name="queue_put_back"),
    path("<slug:slug>/items/<int:pk>/step-aside/", step_aside, name="queue_step_aside"),
    path("<slug:slug>/reviews/<int:pk>/send-back/", send_back, name="queue_send_back"),
]
