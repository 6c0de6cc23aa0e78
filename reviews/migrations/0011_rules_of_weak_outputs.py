from django.apps.registry import Apps
from django.db import migrations

from reviews.seeds import seed_rules

# Queues whose order was not served before were ranked by priority.
RANK = """
UPDATE reviews_reviewslot slot SET rank = CASE queue."order"
         WHEN 'lowest confidence' THEN coalesce(item.confidence, 2)
         WHEN 'most disagreement' THEN -coalesce(item.disagreement, 0) END
  FROM reviews_queueitem item, reviews_reviewqueue queue
 WHERE item.id = slot.item_id AND queue.id = slot.queue_id AND slot.state <> 'done'
   AND queue."order" IN ('lowest confidence', 'most disagreement')
"""


def seeds(apps: Apps, schema_editor: object) -> None:
    seed_rules(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("reviews", "0010_one_index_for_every_order"),
        ("models_app", "0005_human_preference"),
    ]
    operations = [
        migrations.RunSQL(RANK, migrations.RunSQL.noop),
        migrations.RunPython(seeds, migrations.RunPython.noop),
    ]
