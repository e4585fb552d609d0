//! `scaler-sim --seeds 20000 [--start S]`, `scaler-sim --seed X [--trace] [--all]`, either with `--bug NAME`.

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use scaler_sim::bug::{Bug, BUGS};
use scaler_sim::profile::Kind;
use scaler_sim::runner::{self, Failure};
use scaler_sim::scale::{Shape, World};

struct Arguments {
    kind: Kind,
    seeds: u64,
    start: u64,
    seed: Option<u64>,
    trace: bool,
    all: bool,
    bug: Option<Bug>,
    most_failures: usize,
    scale: Option<Shape>,
}

const USAGE: &str =
    "usage: scaler-sim [--managers] [--seeds N] [--start S] [--failures N] [--bug NAME]
       scaler-sim [--managers] --seed X [--trace | --all] [--bug NAME]
       scaler-sim --scale NODES,SLOTS,TASKS

--managers: worlds in which worker managers start the nodes.

--trace tells the story of the element that shows what broke, --all everything that happened.
--bug plants a mistake in the engine (build with --features planted).
--scale: what one scheduler takes for so many nodes, of so many slots each, whose tasks take 5 to 15 s.";

fn parse() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        kind: Kind::Nodes,
        seeds: 1_000,
        start: fresh_start(),
        seed: None,
        trace: false,
        all: false,
        bug: None,
        most_failures: 10,
        scale: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => arguments.seeds = number(&value()?)?,
            "--start" => arguments.start = number(&value()?)?,
            "--seed" => arguments.seed = Some(number(&value()?)?),
            "--failures" => arguments.most_failures = number(&value()?)? as usize,
            "--scale" => arguments.scale = Some(shape(&value()?)?),
            "--managers" => arguments.kind = Kind::Managers,
            "--trace" => arguments.trace = true,
            "--all" => arguments.all = true,
            "--bug" => arguments.bug = Some(bug(&value()?)?),
            _ => return Err(format!("{word} is unknown\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn shape(text: &str) -> Result<Shape, String> {
    let numbers: Result<Vec<u64>, String> = text.split(',').map(number).collect();
    match numbers?[..] {
        [nodes, slots, tasks] if nodes * slots * tasks > 0 => Ok(Shape {
            nodes: nodes as u32,
            slots: slots as u32,
            tasks,
            shortest: 5_000_000,
            longest: 15_000_000,
        }),
        _ => Err(format!("{text} is not NODES,SLOTS,TASKS")),
    }
}

fn bug(name: &str) -> Result<Bug, String> {
    if !cfg!(feature = "planted") {
        return Err("--bug needs a build with --features planted".into());
    }
    let names: Vec<_> = BUGS.iter().map(|(name, _)| *name).collect();
    Bug::named(name).ok_or(format!("{name} is none of {}", names.join(", ")))
}

/// Fresh seeds each time; printed, so that they can be had again.
fn fresh_start() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    since.wrapping_mul(1_000) % 1_000_000_000_000
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        runner::keep_panics_quiet();
    }
    if let Some(shape) = arguments.scale {
        return scale(shape);
    }
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn scale(shape: Shape) -> ExitCode {
    let began = Instant::now();
    let found = World::new(shape).run();
    let (tasks, slots) = (
        found.outcomes as f64,
        f64::from(shape.nodes) * f64::from(shape.slots),
    );
    let engine_s = found.accepting_s + found.running_s;
    let micros = |seconds: f64| seconds / tasks * 1e6;
    println!(
        "{} nodes of {} slots, {tasks} tasks of 5 to 15 s, in {:.0} s",
        shape.nodes,
        shape.slots,
        began.elapsed().as_secs_f64()
    );
    println!(
        "engine: {:.2} us of CPU a task ({:.2} to take it in), {:.0} decisions a second of CPU, longest turn {:.2} s",
        micros(engine_s),
        micros(found.accepting_s),
        tasks / engine_s,
        found.longest_turn_s
    );
    println!(
        "memory: {:.0} bytes a node, {:.0} bytes a task that waits, beyond its payload",
        found.node_bytes, found.task_bytes
    );
    println!(
        "virtual time: {:.1} s, {:.2} x what the tasks need at least; {:.3} of all slots' time used until none waits",
        found.makespan as f64 / 1e6,
        found.makespan as f64 / found.bound as f64,
        found.busy
    );
    println!(
        "one scheduler keeps {slots:.0} slots busy with tasks of {:.1} s and more",
        slots * engine_s / tasks
    );
    ExitCode::SUCCESS
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    if arguments.trace || arguments.all {
        runner::story(arguments.kind, seed, arguments.bug, arguments.all)
            .iter()
            .for_each(|line| println!("{line}"));
    }
    match runner::run(arguments.kind, seed, arguments.bug) {
        Ok(end) => {
            let seconds = end.virtual_time as f64 / 1e6;
            println!("seed {seed}: kept all promises in {seconds:.3} s, {} turns, {} outcomes, {} units started, hash {:016x}", end.turns, end.delivered, end.units, end.hash);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("seed {seed}: {}", failure.text);
            ExitCode::FAILURE
        }
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let (start, end) = (
        arguments.start,
        arguments.start.saturating_add(arguments.seeds),
    );
    println!("seeds {start}..{end}");
    let began = Instant::now();
    let (mut failures, mut ran) = (Vec::new(), 0);
    let (mut turns, mut outcomes, mut virtual_time, mut units) = (0, 0, 0, 0);
    for seed in start..end {
        ran += 1;
        match runner::run(arguments.kind, seed, arguments.bug) {
            Ok(end) => {
                turns += end.turns;
                outcomes += end.delivered;
                units += end.units;
                virtual_time += end.virtual_time;
            }
            Err(failure) => {
                println!("seed {seed}: {}", failure.text);
                failures.push(failure);
            }
        }
        if failures.len() >= arguments.most_failures {
            break;
        }
        if ran % 2_000 == 0 {
            println!(
                "{ran} histories, {:.0} a second",
                ran as f64 / began.elapsed().as_secs_f64()
            );
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{ran} histories in {seconds:.1} s ({:.1} ms each): {:.0} h of virtual time, {turns} turns, {outcomes} outcomes, {units} units started, {} failures",
        seconds * 1e3 / ran.max(1) as f64,
        virtual_time as f64 / 3.6e9,
        failures.len()
    );
    report(&failures, arguments)
}

/// The last lines of the first failure's story.
fn report(failures: &[Failure], arguments: &Arguments) -> ExitCode {
    let Some(first) = failures.first() else {
        return ExitCode::SUCCESS;
    };
    println!(
        "\nthe end of the story of seed {} (--seed {} --trace has all of it):",
        first.seed, first.seed
    );
    let story = runner::story(arguments.kind, first.seed, arguments.bug, false);
    story
        .iter()
        .skip(story.len().saturating_sub(40))
        .for_each(|line| println!("{line}"));
    ExitCode::FAILURE
}
