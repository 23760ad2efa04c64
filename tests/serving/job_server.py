"""A supervisor in a process of its own, made to be killed: queues what it is told to, says what it has promised, and works."""
import sys
import time
from pathlib import Path

from luthier.serving.jobs.store import Job, Store, new_job_id
from luthier.serving.jobs.supervisor import Supervisor

folder, wanted = Path(sys.argv[1]), int(sys.argv[2])
store = Store(folder / "state")
worker = str(Path(__file__).with_name("fake_worker.py"))
supervisor = Supervisor(
    store, folder / "runs", lambda job, path, going_on: [sys.executable, "-S", "-E", worker, str(folder / "runs"), job.run, "1" if going_on else "0"], lambda job: None, max_jobs=3, pause=0.005,
)
supervisor.start()
for number in range(wanted):
    job = Job(new_job_id(), "me", int(time.time()), "base", "file-1", None, {"type": "supervised"}, {}, 1, idempotency=f"request {number}")
    found = store.create(job)
    print(number, found.id, flush=True)
    time.sleep(0.002)
while True:
    time.sleep(0.01)
