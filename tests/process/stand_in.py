"""A supervisor over programs that a test gives it: `python -m tests.process.stand_in JSON`."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from llmops_site import embedded
from llmops_site.startable import CannotStart
from llmops_site.supervisor import orphans, preflight
from llmops_site.supervisor.child import Program
from llmops_site.supervisor.marked import Mark
from llmops_site.supervisor.output import Console
from llmops_site.supervisor.supervise import Database, StopRequest, Supervisor


def main() -> int:
    plan = json.loads(sys.argv[1])
    home = Path(plan["home"])
    stop, console, mark = StopRequest(), Console(), Mark.new(home)
    orphans.adopt()
    preflight.prepare_home(home)
    with ExitStack() as stack:
        try:
            stack.enter_context(preflight.only_one(home, "http://stand-in"))
        except CannotStart as error:
            print(error, file=sys.stderr)
            return 1
        mark.kill_earlier_runs()
        database = Database(plan["database"]) if plan.get("database") else None
        if plan.get("embedded"):
            url = stack.enter_context(embedded.held(home, durable=False))
            database = Database(url, revive=lambda: embedded.revive(home))
        Supervisor(
            [Program(**program) for program in plan["programs"]],
            home=home,
            directory=home,
            mark=mark,
            console=console,
            stop=stop,
            database=database,
            wedge_seconds=plan.get("wedge_seconds", 60.0),
            grace_seconds=plan.get("grace_seconds", 2.0),
        ).run()
    console.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
