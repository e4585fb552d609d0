"""Drivers that break one rule each: small changes of the toy drivers' text, as authors make them by mistake."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Twin:
    """rule: the one that it breaks. changes: what is replaced by what; each is in the text exactly once."""

    rule: str
    changes: tuple[tuple[str, str], ...]


def _twin(rule: str, *changes: str) -> Twin:
    return Twin(rule, tuple(zip(changes[::2], changes[1::2], strict=True)))


_OPENED = "    context.state = Session(toy_cloud.connect(context.options.cloud))\n"
_CREATED = """\
        machine = context.state.cloud.create(
            "machine", _token(context, group.id), tags, secrets=environment, size=group.slots, timeout=0.1
        )
"""
_MADE = """\
        for group in requests:
            units.append(_start(context, group, units))
    return units
"""
_BEAT = '        return [_unit(each) for each in _ours(context, _things(context)) if each.kind == "machine"]\n'
_ENDS = """\
        for each in _ours(context, _things(context)):
            if each.kind == "machine" and each.tags["unit"] in ids:
                _delete(context, each)
"""
_FOUND = '    found = [each for each in _ours(context, things) if each.kind == "network"]\n'
_IN_CLUSTER = 'if each.tags.get("scaler:cluster") == context.owner.cluster]\n'
_GENERATION = 'each.tags["scaler:generation"] == str(context.owner.generation)'


def _created(token: str) -> str:
    return _CREATED.replace("_token(context, group.id)", token)


GROUPS = [
    _twin("describe_imports_no_sdk", "import toy_cloud\n", "import boto3\nimport toy_cloud\n"),
    _twin(
        "describe_is_stable",
        "Family.CAPACITY, ToyOptions)",
        'Family.CAPACITY, ToyOptions, doc_url="see the wiki")',
    ),
    _twin(
        "hooks_are_functions_with_the_arguments_of_the_spec",
        "def heartbeat(context: Context)",
        "def heartbeat(context: Context, verbose: bool = False)",
    ),
    _twin("describe_is_stable", "Family.CAPACITY, ToyOptions)", "Family.CAPACITY, ToyOptions, api_version=0)"),
    _twin(
        "options_become_flags_that_nobody_else_has",
        "    zone: str",
        '    machineType: str = option("", "what machines are like")\n    zone: str',
    ),
    _twin(
        "options_become_flags_that_nobody_else_has",
        "    zone: str",
        '    machine: str = option("", "what machines are like", short="-his")\n    zone: str',
    ),
    _twin("commands_can_be_called", '{"show-zones"', '{"cleanup"'),
    _twin("validate_names_the_option_and_the_mend", ", f\"one of {', '.join(ZONES)}\")", ")"),
    _twin("states_are_those_of_the_interface", "machine.id, UnitState.RUNNING)", 'machine.id, "running")'),
    _twin(
        "launch_environment_is_seen_by_nobody_wound_25",
        "    environment = group.launch.environment\n",
        "    environment = group.launch.environment\n    context.log.debug('with %s', environment)\n",
    ),
    _twin(
        "launch_environment_is_seen_by_nobody_wound_25",
        "    environment = group.launch.environment\n",
        "    environment = group.launch.environment\n"
        '    left_alone = \'sh -c "sleep 1; :" agent "$@" &\'\n'
        "    subprocess.run(['sh', '-c', left_alone, 'sh', *environment.values()], check=True)\n",
        "import toy_cloud\n",
        "import subprocess\nimport toy_cloud\n",
    ),
    _twin("shutdown_of_unknown_ids_is_fine", 'each.tags["unit"] in ids', '(not ids or each.tags["unit"] in ids)'),
    _twin(
        "dry_run_tells_what_cleanup_deletes", 'each.id, "would be deleted" if dry_run else "deleted")', 'each.id, "")'
    ),
    _twin(
        "module_has_no_state",
        "def _things(context: Context)",
        "def _things(context: Context, calls: list[int] = [])",
        "    found, at =",
        "    calls.append(1)\n    found, at =",
    ),
    _twin("module_has_no_state", _OPENED, _OPENED + "    Session.opened = getattr(Session, 'opened', 0) + 1\n"),
    _twin("options_are_documented", '"where machines are: north or south"', '""'),
    _twin(
        "options_become_flags_that_nobody_else_has",
        "    zone: str",
        '    preload: str = option("", "what machines load")\n    zone: str',
    ),
    _twin("secrets_have_no_default_that_help_shows", 'token: str = option(""', 'token: str = option("hunter2"'),
    _twin("commands_can_be_called", '{"show-zones": show_zones}', '{"show-zones": lambda: 0}'),
    _twin(
        "validate_changes_nothing",
        "    if context.options.zone not in ZONES:\n",
        '    context.state.cloud.create("network", "", context.owner.tags())\n'
        "    if context.options.zone not in ZONES:\n",
    ),
    _twin(
        "validate_names_the_option_and_the_mend",
        'ConfigurationError("There is no such zone.", "--zone", f"one of {\', \'.join(ZONES)}")',
        'ConfigurationError("That cannot work.")',
    ),
    _twin("start_answers_one_unit_for_each_request", _MADE, _MADE.replace("return units", "return units[::-1]")),
    _twin(
        "start_twice_makes_one_unit",
        _CREATED,
        "        call = f'{threading.current_thread().name} {group.id}'\n"
        + _created('"" if call in context.state.started else _token(context, group.id)')
        + "        context.state.started.add(call)\n",
        "import toy_cloud\n",
        "import threading\nimport toy_cloud\n",
    ),
    _twin(
        "concurrent_starts_of_one_id_make_one_unit",
        _CREATED,
        "        busy = group.id in context.state.started\n"
        "        context.state.started.add(group.id)\n"
        "        time.sleep(0.02)\n"
        "        context.state.started.discard(group.id)\n" + _created('"" if busy else _token(context, group.id)'),
        "import toy_cloud\n",
        "import time\nimport toy_cloud\n",
    ),
    _twin(
        "one_that_cannot_start_harms_no_other",
        _MADE,
        """\
        for group in requests:
            if any(unit.state is UnitState.FAILED for unit in units):
                units.append(Unit(group.id, "", UnitState.FAILED, "not tried"))
            else:
                units.append(_start(context, group, units))
    return units
""",
    ),
    _twin("start_that_failed_says_why_wound_9", "UnitState.FAILED, str(error)", 'UnitState.FAILED, ""'),
    _twin(
        "lost_answer_of_a_create_is_found_wound_6",
        _CREATED,
        _created('f"{_token(context, group.id)}/{context.owner.generation}"'),
    ),
    _twin(
        "create_whose_answer_is_lost_makes_no_second_unit_wound_6",
        _CREATED,
        _created('"" if group.id in context.state.started else _token(context, group.id)'),
        "    except toy_cloud.Refused as error:\n",
        "    except toy_cloud.NoAnswer:\n"
        "        context.state.started.add(group.id)\n"
        "        raise\n"
        "    except toy_cloud.Refused as error:\n",
    ),
    _twin(
        "ids_with_odd_characters_come_back_unchanged",
        '    name = machine.tags["unit"]\n',
        '    name = machine.tags["unit"].replace("%s", "")\n',
    ),
    _twin("many_at_once_are_so_many_units_wound_29", "    while at:\n", "    while False:\n"),
    _twin("slots_and_capabilities_reach_the_unit", "size=group.slots", "size=1"),
    _twin("launch_environment_is_seen_by_nobody_wound_25", "secrets=environment", "text=str(environment)"),
    _twin(
        "unit_carries_its_owner_wound_6",
        '    tags = {**context.owner.tags(), "unit"',
        '    tags = {"for": _token(context, ""), "unit"',
        '        if each.tags.get("scaler:cluster") == mine.cluster and',
        '        if each.tags.get("for") == _token(context, "")\n'
        '        or each.tags.get("scaler:cluster") == mine.cluster and',
        "each for each in things " + _IN_CLUSTER,
        "each for each in things if context.owner.cluster in str(each.tags)]\n",
    ),
    _twin("heartbeat_of_nothing_is_empty", _BEAT, _BEAT.rstrip() + ' or [Unit("none", "", UnitState.GONE)]\n'),
    _twin(
        "heartbeat_shows_what_was_started",
        _BEAT,
        _BEAT.replace("_unit(each) for", "replace(_unit(each), infrastructure_id=each.kind) for"),
        "from dataclasses import dataclass, field",
        "from dataclasses import dataclass, field, replace",
    ),
    _twin(
        "heartbeat_changes_nothing",
        _BEAT,
        '        context.state.cloud.create("network", "", context.owner.tags(), timeout=0.1)\n' + _BEAT,
    ),
    _twin(
        "heartbeat_after_a_crash_shows_all_wound_5", _BEAT, _BEAT.replace('"machine"]', f'"machine" and {_GENERATION}]')
    ),
    _twin(
        "heartbeat_shows_no_other_managers_units",
        'each.tags.get("scaler:manager") == mine.manager',
        'each.tags.get("scaler:manager", "").startswith(mine.manager)',
    ),
    _twin(
        "heartbeat_shows_no_other_clusters_units",
        _BEAT,
        """\
        mine = [each for each in _things(context) if each.tags.get("scaler:manager") == context.owner.manager]
        return [_unit(each) for each in mine if each.kind == "machine"]
""",
    ),
    _twin("unit_that_was_killed_is_not_shown_as_living_wound_9", "    if machine.ended:\n", "    if False:\n"),
    _twin("unit_that_failed_says_why_wound_9", "UnitState.FAILED, machine.ended", "UnitState.FAILED"),
    _twin(
        "shutdown_ends_the_unit",
        _ENDS,
        _ENDS
        + "                if not each.ended:\n                    context.state.started.add(each.tags['unit'])\n",
        _BEAT,
        "        late = [Unit(name, 'late', UnitState.RUNNING) for name in list(context.state.started)]\n"
        + _BEAT.rstrip()
        + " + late\n",
    ),
    _twin(
        "shutdown_ends_only_what_it_names_wound_3",
        _ENDS,
        """\
        mine = [each for each in _ours(context, _things(context)) if each.kind == "machine"]
        if any(each.tags["unit"] in ids for each in mine):
            for each in mine:
                _delete(context, each)
""",
    ),
    _twin(
        "shutdown_of_unknown_ids_is_fine",
        _ENDS,
        "        found = {each.tags.get('unit') for each in _ours(context, _things(context))} & set(ids)\n"
        "        if ids and not found and not context.state.started & set(ids):\n"
        "            raise LookupError(f'no such unit: {ids}')\n" + _ENDS,
        _CREATED,
        _CREATED + "        context.state.started.add(group.id)\n",
    ),
    _twin(
        "shutdown_goes_on_after_an_unknown_id",
        _ENDS,
        """\
        machines = {each.tags["unit"]: each for each in _ours(context, _things(context)) if each.kind == "machine"}
        for name in ids:
            if name not in machines:
                return
            _delete(context, machines[name])
""",
    ),
    _twin(
        "shutdown_twice_is_fine",
        _ENDS,
        "        if context.state.started & set(ids):\n"
        "            raise RuntimeError(f'already ended: {ids}')\n"
        "        context.state.started.update(ids)\n" + _ENDS,
    ),
    _twin(
        "shutdown_of_what_has_vanished_is_fine",
        _ENDS,
        _ENDS.replace(
            "                _delete",
            "                if each.ended:\n"
            "                    raise RuntimeError('it does not run')\n"
            "                _delete",
        ),
    ),
    _twin(
        "shutdown_never_ends_other_owners_units",
        _ENDS,
        _ENDS.replace("_ours(context, _things(context))", "_things(context)").replace(
            'each.kind == "machine"',
            'each.kind == "machine" and each.tags["scaler:manager"] == context.owner.manager',
        ),
    ),
    _twin(
        "shutdown_after_a_crash_ends_what_was_before_wound_7",
        _ENDS,
        _ENDS.replace('each.kind == "machine"', f'each.kind == "machine" and {_GENERATION}'),
    ),
    _twin(
        "dry_run_changes_nothing",
        "            if not dry_run:\n",
        "            if not dry_run or scope is Scope.RUN:\n",
    ),
    _twin(
        "dry_run_tells_what_cleanup_deletes",
        "            told.append",
        "            if not dry_run or each.kind != 'network':\n                told.append",
    ),
    _twin(
        "cleanup_twice_is_fine", "    return told\n", '    return told or [Resource("network", "none", "not found")]\n'
    ),
    _twin(
        "nothing_is_left_after_cleanup_wound_6",
        "    if scope is Scope.RUN:\n",
        "    if scope in (Scope.RUN, Scope.MANAGER):\n",
    ),
    _twin(
        "cleanup_leaves_units_alone_wound_4",
        _FOUND,
        _FOUND.replace("if each.kind", "if scope is Scope.RUN or each.kind"),
    ),
    _twin(
        "cleanup_never_touches_another_manager",
        _FOUND,
        '    found = [each for each in things if each.kind == "network" and each.tags]\n'
        '    found = [each for each in found if each.tags["scaler:cluster"] == context.owner.cluster]\n',
    ),
    _twin("cleanup_never_touches_another_cluster", _IN_CLUSTER, 'if "scaler:cluster" in each.tags]\n'),
    _twin(
        "cleanup_never_touches_what_has_no_owner",
        _IN_CLUSTER,
        'if each.tags.get("scaler:cluster", context.owner.cluster) == context.owner.cluster]\n',
    ),
    _twin("cleanup_of_a_run_leaves_what_other_runs_made", "    if scope is Scope.RUN:\n", "    if False:\n"),
    _twin(
        "cleanup_of_the_cluster_takes_all_managers_wound_6",
        "each for each in things " + _IN_CLUSTER,
        "each for each in _ours(context, things)]\n",
    ),
    _twin("throttling_is_raised_wound_29", "        raise Throttled(str(error), 1.0) from error\n", "        raise\n"),
    _twin("throttled_call_has_started_nothing_wound_29", "        if earlier:\n", "        if False:\n"),
    _twin(
        "throttled_call_has_started_nothing_wound_29",
        "        if earlier:\n",
        "        if earlier:\n            return Unit(group.id, '', UnitState.FAILED, str(error))\n        if False:\n",
    ),
    _twin(
        "expired_credentials_are_raised", "        raise CredentialsExpired(str(error)) from error\n", "        raise\n"
    ),
    _twin("hooks_end_when_nothing_answers_wound_11", ".page(timeout=0.1)", ".page(timeout=None)"),
    _twin("two_contexts_share_nothing", _CREATED, _created('f"{context.owner.cluster}/{group.id}"')),
    _twin("module_has_no_state", _BEAT, '        ZONES.append("west")\n' + _BEAT),
    _twin(
        "hooks_run_beside_each_other",
        _BEAT,
        "        context.state.started.add('busy')\n"
        "        time.sleep(0.005)\n"
        "        units = " + _BEAT.removeprefix("        return ") + "        context.state.started.discard('busy')\n"
        "        return units\n",
        "    environment = group.launch.environment\n",
        "    environment = group.launch.environment\n"
        "    if 'busy' in context.state.started:\n"
        "        raise RuntimeError('the session is in use by another thread')\n",
        "import toy_cloud\n",
        "import time\nimport toy_cloud\n",
    ),
    _twin(
        "nothing_of_the_process_is_left_after_close",
        _OPENED,
        _OPENED + "    threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n",
        "import toy_cloud\n",
        "import threading\nimport time\nimport toy_cloud\n",
    ),
    _twin(
        "nothing_of_the_process_is_left_after_close",
        _OPENED,
        _OPENED + "    subprocess.Popen(['sleep', '2'])\n",
        "import toy_cloud\n",
        "import subprocess\nimport toy_cloud\n",
    ),
    _twin(
        "nothing_of_the_process_is_left_after_close",
        _OPENED,
        _OPENED + "    os.memfd_create('left-by-twin')\n",
        "import toy_cloud\n",
        "import os\nimport toy_cloud\n",
    ),
]

_STATES = "    if thing.outcome is None:\n"
_COLLECTED = "if name in ids and each.outcome is not None}\n"
_LATEST = '        latest = {each.tags["unit"]: each for each in _jobs(context)}\n'
_CANCELS = """\
            if each.tags["unit"] in ids:
                _delete(context, each)
"""

JOBS = [
    _twin(
        "job_that_succeeds_brings_its_value", "thing.id, UnitState.SUCCEEDED)", 'thing.id, UnitState.FAILED, "ended")'
    ),
    _twin(
        "job_that_raises_brings_its_exception",
        _COLLECTED,
        _COLLECTED.replace("is not None", "is not None and each.outcome[17] == 0"),
    ),
    _twin(
        "job_that_was_killed_is_failed_and_says_why",
        _STATES,
        '    if thing.ended.startswith("signal"):\n        return Unit(name, thing.id, UnitState.GONE)\n' + _STATES,
    ),
    _twin(
        "outcome_stays_until_it_is_acknowledged",
        _LATEST,
        _LATEST
        + "        latest = {name: each for name, each in latest.items() if each.id not in context.state.noted}\n"
        + "        given = [each.id for name, each in latest.items() if name in ids and each.ended]\n"
        + "        context.state.noted.update(given)\n",
    ),
    _twin("acknowledged_job_is_forgotten", _CANCELS, _CANCELS.replace("in ids", "in ids and not each.ended")),
    _twin(
        "outcomes_are_of_ended_jobs_only",
        _COLLECTED,
        _COLLECTED.rstrip() + ' | {name: b"" for name in ids if name in latest and not latest[name].ended}\n',
    ),
    _twin(
        "outcome_is_there_after_a_crash",
        _COLLECTED,
        _COLLECTED.replace("name in ids", "name in ids and name in context.state.noted"),
        "    token = f",
        "    context.state.noted.add(job.id)\n    token = f",
    ),
    _twin(
        "cancelled_job_ends",
        _CANCELS,
        _CANCELS
        + "                if not each.ended:\n                    context.state.noted.add(each.tags['unit'])\n",
        _COLLECTED,
        _COLLECTED.rstrip() + " | {name: b'cancelled' for name in ids if name in context.state.noted}\n",
    ),
    _twin("next_attempt_runs_again", "/{job.id}/{job.attempt}", "/{job.id}"),
    _twin("timeout_ends_the_job", "payload, job.timeout", "payload, 0"),
    _twin(
        "large_arguments_and_values_arrive_wound_19",
        "    if len(payload) > toy_cloud.PARAMETER_BYTES:\n",
        "    if False:\n",
    ),
    _twin(
        "titles_and_arguments_of_any_alphabet_arrive",
        '"title": job.name}',
        '"title": job.name.encode("ascii").decode()}',
    ),
    _twin("timeout_ends_the_job", "UnitState.FAILED, thing.ended", 'UnitState.FAILED, "it has failed"'),
    _twin(
        "references_are_opened",
        """\
        with context.objects.open(reference) as stream:
            data = stream.read()
""",
        "        data = context.objects.open(reference).read()\n",
    ),
    _twin("references_are_opened", "    if not job.references:\n", "    if True:\n"),
]
