"""Policies as text: what they mean, and where an error points."""

from pathlib import Path

import pytest
from scaler.cli import command, scheduler
from scaler.config.policy import Policy, PolicyConfig, Rule, parse_policy
from scaler.scheduler.settings import SchedulerSettings
from scaler.stack.plan import Plan, read_plan
from scaler.transport.errors import ConfigurationError

SCHEDULER = '[scheduler]\nbind_address = "tcp://127.0.0.1:8516"\n'
DYNAMIC = '[[worker_manager]]\ntype = "native"\nmode = "dynamic"\n'
FIXED = '[[worker_manager]]\ntype = "native"\nmode = "fixed"\nworker_manager_id = "fixed"\n'


@pytest.mark.parametrize(
    ("content", "policy"),
    [
        ("", Policy()),
        (" ;\n; # nothing", Policy()),
        ("scaling=vanilla", Policy("even_load", "vanilla")),
        ("allocate=capability", Policy("capability", "no")),
        ("allocate=even_load; scaling=vanilla", Policy("even_load", "vanilla")),
        (" scaling = fixed_elastic ;allocate=capability;", Policy("capability", "fixed_elastic")),
        ("allocate=even_load\nscaling=capability\n", Policy("even_load", "capability")),
        ("\r\n  allocate=even_load # where\r\n  scaling=no\r\n", Policy()),
        ("Scaling=Vanilla; ALLOCATE=even-load", Policy("even_load", "vanilla")),
        ("scaling=no; scaling=NO", Policy()),
        (
            "allocate=even_load; scaling=waterfall_v1; 1,native,8; 2,cloud",
            Policy("even_load", "waterfall_v1", (Rule(1, "native", 8), Rule(2, "cloud"))),
        ),
    ],
)
def test_simple_is_settings_in_any_order(content: str, policy: Policy) -> None:
    assert parse_policy("simple", content) == policy


@pytest.mark.parametrize(
    ("content", "rules"),
    [
        ("1,native", [Rule(1, "native")]),
        ("1,native,8", [Rule(1, "native", 8)]),
        (" -5 , native , 0 ", [Rule(-5, "native", 0)]),
        ("1,a,-1", [Rule(1, "a")]),
        ("1,a b=c", [Rule(1, "a b=c")]),
        ("1,a;1,b", [Rule(1, "a"), Rule(1, "b")]),
        (
            "# the cheap one first\n10,cloud,200  # dear\n\n1,native,8;\n5,1,4",
            [Rule(10, "cloud", 200), Rule(1, "native", 8), Rule(5, "1", 4)],
        ),
        ("scaling=waterfall_v1\n1,a", [Rule(1, "a")]),
    ],
)
def test_a_waterfall_is_rules_with_comments(content: str, rules: list[Rule]) -> None:
    assert parse_policy("waterfall_v1", content) == Policy("capability", "waterfall_v1", tuple(rules))


def test_a_waterfall_may_say_how_tasks_are_placed() -> None:
    assert parse_policy("waterfall_v1", "allocate=even_load; 1,a").allocate == "even_load"


# Engine, text, the place that is pointed at, what is wrong, and what to do.
WRONG = [
    ("simple", "vanilla", "vanilla", "'vanilla' is no policy", "did you mean scaling=vanilla?"),
    ("simple", "even_lod", "even_lod", "is no policy", "did you mean allocate=even_load?"),
    ("simple", "quick", "quick", "is no policy", "like: allocate=even_load; scaling=vanilla"),
    ("simple", "allocate=even_lod", "even_lod", "no policy allocate=even_lod", "did you mean even_load?"),
    ("simple", "scaling=vanilla;allocate=x", "x", "no policy allocate=x", "one of even_load, capability"),
    ("simple", "scaling = vanila", "vanila", "no policy scaling=vanila", "did you mean vanilla?"),
    (
        "simple",
        "scaling=more",
        "more",
        "no policy scaling=more",
        "one of no, vanilla, fixed_elastic, capability, water",
    ),
    ("simple", "scaling=no\n allocat=x", "allocat=x", "no policy setting 'allocat'", "did you mean allocate?"),
    ("simple", "speed=9", "speed", "no policy setting 'speed'", "write allocate=… or scaling=…"),
    ("simple", "=vanilla", "=vanilla", "no policy setting ''", "write allocate=… or scaling=…"),
    ("simple", "scaling= ;", " ;", "scaling has no value", "one of no, vanilla"),
    ("simple", "allocate=", "", "allocate has no value", "one of even_load"),
    ("simple", "scaling==no", "=no", "no policy scaling==no", "did you mean no?"),
    ("simple", "scaling=no, allocate=capability", ", a", "not separated by commas", "write ; or a new line"),
    ("simple", "scaling=no;scaling=vanilla", "scaling=vanilla", "scaling is there twice", "leave one: scaling=no or"),
    ("simple", "scaling=waterfall_v1", "waterfall_v1", "has no rules", "add them, priority,worker_manager_id[,cap]"),
    ("simple", "scaling=vanilla; 1,a,4", "1,a,4", "A rule means nothing to scaling=vanilla", "scaling=waterfall_v1"),
    ("simple", "1,a", "1,a", "A rule means nothing to scaling=no", "or take them out"),
    (
        "waterfall_v1",
        "1,a; scaling=no",
        "no",
        "policy_engine_type=waterfall_v1 is no scaling=no",
        "take scaling=no out",
    ),
    ("waterfall_v1", "allocate=even_load", "", "has no rules", "1,baremetal_native,8; 2,aws_raw_ecs"),
    ("waterfall_v1", "1", "", "two or three fields: '1' has 1", "write priority,worker_manager_id or"),
    ("waterfall_v1", "1,a,2,3", "3", "has 4", "write priority,worker_manager_id or"),
    ("waterfall_v1", "1,a,2,", "", "has 4", "write priority,worker_manager_id or"),
    ("waterfall_v1", "one,a", "one", "priority 'one' is no whole number", "the smaller, the sooner"),
    ("waterfall_v1", "1.5,a", "1.5", "priority '1.5' is no whole number", "the smaller, the sooner"),
    ("waterfall_v1", ",a", ",a", "A rule's priority is missing", "write a whole number"),
    ("waterfall_v1", "99999999999999999999,a", "999", "priority is too large", "0 to 100"),
    ("waterfall_v1", "1, ,3", ",3", "names no worker manager", "write its worker_manager_id"),
    ("waterfall_v1", "1,a,many", "many", "cap 'many' is no whole number", "or leave it out"),
    ("waterfall_v1", "1,a,", "", "A rule's cap is missing", "or leave it out"),
    ("waterfall_v1", "1,a,-2", "-2", "cap -2 is no number of workers", "0 to 4294967295"),
    ("waterfall_v1", "1,a,4294967296", "4294", "cap 4294967296 is no number of workers", "0 to 4294967295"),
    ("waterfall_v1", "1,a\n2,b\n3,a", "a", "'a' has a rule already", "one rule a worker manager"),
    ("waterfall_v1", "1,a # first\n\t2,b,x", "x", "cap 'x' is no whole number", "or leave it out"),
    ("waterfall_v1", "native", "native", "'native' is no policy", "like: allocate"),
]


@pytest.mark.parametrize(("engine", "content", "place", "what", "mend"), WRONG, ids=[each[1] for each in WRONG])
def test_a_wrong_policy_is_pointed_at(engine: str, content: str, place: str, what: str, mend: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_policy(engine, content, "policy_content")
    said, where, line, caret, to_do = str(caught.value).split("\n")
    assert what in said
    assert where.startswith("  where: policy_content, ")
    assert line[9:] in content.split("\n")
    # Under the caret, in the line that is shown, is what was meant.
    assert caret.endswith("^")
    pointed = line[len(caret) - 1 :]
    assert pointed.startswith(place.rstrip()) if place else pointed == ""
    assert caret[9:-1] == "".join("\t" if each == "\t" else " " for each in line[9 : len(caret) - 1])
    assert to_do.startswith("  to do: ")
    assert mend in to_do


def test_the_place_is_told_in_numbers_too() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_policy("simple", "allocate=even_load; scaling=x", "config.toml, line 3")
    assert caught.value.where.startswith("config.toml, line 3, column 29\n")
    with pytest.raises(ConfigurationError) as caught:
        parse_policy("waterfall_v1", "\n1,a\n2,b,c\n", "config.toml, line 3")
    assert caught.value.where.startswith("config.toml, line 3, line 3 of it, column 5\n")


def test_of_a_long_line_the_place_is_shown() -> None:
    content = "allocate=even_load; " * 20 + "scaling=nope; " + "scaling=no; " * 20
    with pytest.raises(ConfigurationError) as caught:
        parse_policy("simple", content.replace("scaling=no; ", ""))
    _, _, line, caret, _ = str(caught.value).split("\n")
    assert len(line) < 120
    assert line[len(caret) - 1 :].startswith("nope")


def test_no_text_has_no_place() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_policy("waterfall_v1", " \n ", "policy_content")
    assert (caught.value.what, caught.value.where) == ("scaling=waterfall_v1 has no rules.", "policy_content")


def test_an_engine_that_is_none_is_said() -> None:
    with pytest.raises(ConfigurationError, match="did you mean waterfall_v1"):
        parse_policy("waterfall", "1,a")


def test_the_policy_of_old_means_what_it_says() -> None:
    config = PolicyConfig()
    assert parse_policy(config.policy_engine_type, config.policy_content) == Policy()


def _run(*arguments: str) -> int:
    """As `scaler_scheduler` does, up to where it would start."""
    return command.run_command(scheduler._main, ["tcp://127.0.0.1:8516", *arguments])


def _error(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_on_the_command_line_an_error_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("-pc", "scaling=vanila") == 2
    assert _error(capsys) == [
        "error: There is no policy scaling=vanila.",
        "  where: --policy-content, column 9",
        "         scaling=vanila",
        "                 ^",
        "  to do: did you mean vanilla?",
    ]


def test_the_example_of_an_error_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("-pc", "allocate=even_load; scaling=vanila") == 2
    page = (Path(__file__).parents[2] / "docs/scaling.md").read_text()
    assert f"```text\n{capsys.readouterr().err}```\n" in page


def test_an_engine_without_rules_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--policy-engine-type", "waterfall_v1") == 2
    first, second, third = _error(capsys)
    assert first == "error: policy_engine_type=waterfall_v1 has no rules."
    assert second == "  where: --policy-engine-type"
    assert "1,baremetal_native,8; 2,aws_raw_ecs" in third


def plan(folder: Path, text: str) -> Plan:
    path = folder / "config.toml"
    path.write_text(text)
    return read_plan(str(path))


def scheduler_settings(folder: Path, text: str) -> SchedulerSettings:
    (part,) = [part for part in plan(folder, text).parts if part.name == "scheduler"]
    settings = {name: value for name, value in part.settings.items() if name != "logging"}
    return SchedulerSettings.of(settings)


def policy_of(settings: SchedulerSettings) -> tuple[str, str, list[tuple[int, str, int | None]]]:
    return settings.allocate, settings.scaling, [(*rule,) for rule in settings.waterfall]  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        'policy_engine_type = "waterfall_v1"\npolicy_content = "1,native,8;2,cloud"\n',
        'policy-engine-type = "waterfall_v1"\npolicy-content = """\n# local\n1,native,8\n2,cloud\n"""\n',
        "[scheduler.policy]\npolicy_engine_type = 'waterfall_v1'\npolicy_content = '''\n1,native,8 # a\n2,cloud'''\n",
        'policy_content = "allocate=capability; scaling=waterfall_v1; 1,native,8; 2,cloud"\n',
    ],
)
def test_a_file_has_rules_in_one_line_or_several(text: str, tmp_path: Path) -> None:
    found = policy_of(scheduler_settings(tmp_path, SCHEDULER + text))
    assert found == ("capability", "waterfall_v1", [(1, "native", 8), (2, "cloud", None)])


def test_an_error_in_a_file_has_its_line_and_points_into_the_text(tmp_path: Path) -> None:
    text = SCHEDULER + '[scheduler.policy]\npolicy_engine_type = "waterfall_v1"\npolicy_content = """\n1,a\n2,a"""\n'
    with pytest.raises(ConfigurationError) as caught:
        plan(tmp_path, text)
    assert str(caught.value).split("\n")[1:4] == [
        f"  where: {tmp_path}/config.toml, line 5, [scheduler] policy_content, line 2 of it, column 3",
        "         2,a",
        "           ^",
    ]


def test_the_cooldown_goes_to_the_loop(tmp_path: Path) -> None:
    settings = scheduler_settings(tmp_path, SCHEDULER + "scale_down_cooldown_seconds = 5\n")
    loop = settings.for_loop("", None, "")
    assert (loop["scaling"], loop["waterfall"], loop["scale_down_cooldown"]) == ("no", [], 5.0)


def test_a_scheduler_alone_scales_nothing(tmp_path: Path) -> None:
    assert policy_of(scheduler_settings(tmp_path, SCHEDULER)) == ("even_load", "no", [])


def test_a_manager_of_a_fixed_size_needs_no_policy(tmp_path: Path) -> None:
    found = plan(tmp_path, SCHEDULER + FIXED)
    assert (found.parts[0].settings["scaling"], found.words) == ("no", [])


@pytest.mark.parametrize("managers", [DYNAMIC, FIXED + DYNAMIC])
def test_a_file_with_a_manager_that_can_scale_scales_and_says_so(managers: str, tmp_path: Path) -> None:
    found = plan(tmp_path, SCHEDULER + managers)
    assert (found.parts[0].settings["allocate"], found.parts[0].settings["scaling"]) == ("even_load", "vanilla")
    (word,) = found.words
    assert word.startswith("baremetal_native scales by need")
    assert '"allocate=even_load; scaling=vanilla"' in word


@pytest.mark.parametrize("content", ["scaling=no", "allocate=capability", ""])
def test_a_policy_in_the_file_is_the_policy(content: str, tmp_path: Path) -> None:
    found = plan(tmp_path, SCHEDULER + f'policy_content = "{content}"\n' + DYNAMIC)
    assert (found.parts[0].settings["scaling"], found.words) == ("no", [])
