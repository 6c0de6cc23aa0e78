"""What a desk's page says about its keys: on the buttons, in the sheet, to the script."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import User

from reviews.desk.key_preferences import keys_for
from reviews.desk.keys import Desk, groups_of, keys_at, shown


def key_sheet(reviewer: User, desk: Desk) -> dict[str, Any]:
    keys = keys_for(reviewer)
    here = keys_at(desk, keys.by_action)
    caps = {name: shown(key) for name, key in here.items()}
    return {
        "keys": caps,
        "keys_json": json.dumps(here),
        "sheet": [
            (group.name, [(action, caps[action.name]) for action in group.actions])
            for group in groups_of(desk)
        ],
        "single_keys": keys.single,
    }
