from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from reviews import bootstrap


class Command(BaseCommand):
    help = "Make the administrator and the sample workspace, where they are missing. script/run calls it at each start."

    def handle(self, *args: Any, **options: Any) -> None:
        env = settings.ENV
        bootstrap.schedule_regular_work()
        accounts = [bootstrap.create_administrator(username=env.admin_username, password=env.admin_password)]
        if env.sample:
            accounts += bootstrap.create_sample_accounts()
            imported = bootstrap.load_sample()
            if imported:
                self.stdout.write(f"Sample workspace: {imported} articles.")
        made = [account for account in accounts if account is not None]
        if made:
            self.stdout.write("Accounts made now; the passwords are not shown again:")
            for account in made:
                given = account.role == "administrator" and env.admin_password
                shown = "(from GALLEY_ADMIN_PASSWORD)" if given else account.password
                self.stdout.write(f"  {account.username:<10} {shown:<20} {account.role}")
        job = bootstrap.prepare_workspace_later() if env.sample else None
        if job is not None:
            self.stdout.write(f"The starter model is being prepared (job {job.pk}); pages answer meanwhile.")
