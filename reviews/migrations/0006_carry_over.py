from django.db import migrations

CARRY_OVER = """
UPDATE reviews_reviewqueue SET blind_to_model = blind_to_peers;
UPDATE reviews_queueitem item SET wanted_reviews = seats.n
  FROM (SELECT item_id, count(*) AS n FROM reviews_reviewslot GROUP BY item_id) seats
 WHERE seats.item_id = item.id AND seats.n BETWEEN 1 AND 20 AND item.wanted_reviews <> seats.n;
UPDATE reviews_reviewslot slot SET rank = -slot.priority
  FROM reviews_reviewqueue queue
 WHERE queue.id = slot.queue_id AND queue."order" <> 'oldest' AND slot.priority <> 0;
"""


class Migration(migrations.Migration):
    dependencies = [("reviews", "0005_desk_for_several")]
    operations = [migrations.RunSQL(CARRY_OVER, migrations.RunSQL.noop)]
