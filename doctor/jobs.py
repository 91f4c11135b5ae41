"""Checks of enabled jobs: the target exists, the policy allows it, and its program can be started."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from core.boundary import Failure, guarded
from core.errors import CronError
from core.job import Job
from db import Row
from doctor.findings import Few, Finding, error, fine, of_error
from doctor.scene import Scene
from invocation import prompt_file, runners
from invocation.child_environment import child_environment
from invocation.dry_run import call_of
from invocation.policy import POLICY_FILE, Policy, PolicyFile
from invocation.runners.base import Host
from invocation.targets import Targets
from store.definitions import job_state
from system.start_errors import find_obstacle

SUBJECT = "jobs"


def check(scene: Scene) -> Iterator[Finding]:
    """Checks each enabled job as the invoker would start it."""
    settings, few = scene.need_settings, Few()
    policy = PolicyFile(settings.root / POLICY_FILE).read()
    yield from policy_faults(policy)
    jobs = [row for row in scene.need_store.definitions.active() if row["enabled"]]
    host = Host(settings.variables, settings.agents, settings.agent_path)
    starts = Starts(Targets(settings.home, settings.data_path, settings.root), policy, host)
    for row in jobs:
        job_id = str(row["job_id"])
        refusal = guarded(partial(_refusal, starts, row))
        if refusal is None:
            continue
        finding = of_error(f"job {job_id}", refusal)
        if few.passes(finding):
            yield finding
    yield from few.remaining(SUBJECT)
    yield fine(SUBJECT, f"Enabled jobs whose target and program were checked: {len(jobs)}")


def policy_faults(policy: Policy) -> Iterator[Finding]:
    """A policy that denies everything is reported once, and not for each job."""
    if policy.fault:
        text = f"{policy.path} can't be used, so nothing is allowed: {policy.fault}"
        yield error("POLICY_UNUSABLE", SUBJECT, text, "Correct that file, or remove it.")
    elif not policy.enabled:
        text = f"{policy.path} sets enabled to false, so nothing is allowed"
        yield error("POLICY_DISABLED", SUBJECT, text, "Set enabled to true there, or remove the file.")


def _refusal(starts: Starts, row: Row) -> CronError | Failure | None:
    return starts.refusal(job_state(row).job)


class Starts:
    """Predicts whether jobs can be started. Each target is looked up once."""

    def __init__(self, targets: Targets, policy: Policy, host: Host) -> None:
        self._targets = targets
        self._policy = policy
        self._host = host
        self._folders: dict[str, Path | Failure] = {}

    def refusal(self, job: Job) -> CronError | Failure | None:
        """Why the job's next run can't be started; None if it can. Some reasons are raised as a `CronError`."""
        invocation = call_of(job)
        if self._policy.enabled and not self._policy.fault:
            self._policy.check(invocation.request)
        folder = self._folder(job.puruto_target)
        if isinstance(folder, Failure):
            return folder
        invocation, _ = prompt_file.filled(invocation, folder)
        launch = runners.choose(invocation, folder, self._host).launch(invocation, folder, self._host)
        environment = child_environment(self._host.variables, invocation, Path("/"), launch.env)
        return find_obstacle(list(launch.argv), folder, environment)

    def _folder(self, target: str) -> Path | Failure:
        if target not in self._folders:
            self._folders[target] = guarded(lambda: self._targets.resolve(target))
        return self._folders[target]
