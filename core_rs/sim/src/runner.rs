//! Runs worlds by their seeds and tells what broke.

use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::bug::Bug;
use crate::profile::Kind;
use crate::world::{End, World};

thread_local! {
    static PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Panics of machines become failures: they are not to be printed beside.
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.set(info.to_string().replace('\n', " "))
    }));
}

/// A seed whose world broke a promise.
pub struct Failure {
    pub seed: u64,
    pub text: String,
}

/// Runs one seed; what broke, if anything did. A panic of a machine is a broken promise like any other.
pub fn run(kind: Kind, seed: u64, bug: Option<Bug>) -> Result<End, Failure> {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        World::new(kind, seed, bug, false).run()
    }));
    match ended {
        Ok(end) => match &end.violation {
            None => Ok(end),
            Some(violation) => {
                let seconds = violation.at as f64 / 1e6;
                let element = violation
                    .element
                    .map(|(session, sequence)| format!("s{:x} {sequence}: ", session & 0xfff));
                Err(Failure {
                    seed,
                    text: format!(
                        "at {seconds:.6}: {}{}",
                        element.unwrap_or_default(),
                        violation.text
                    ),
                })
            }
        },
        Err(_) => Err(Failure {
            seed,
            text: format!("a machine panicked: {}", PANIC.take()),
        }),
    }
}

/// The story of a seed, as lines: of the element that shows what broke, or of everything.
pub fn story(kind: Kind, seed: u64, bug: Option<Bug>, everything: bool) -> Vec<String> {
    let mut world = World::new(kind, seed, bug, true);
    let ended = catch_unwind(AssertUnwindSafe(|| world.advance_to_end()));
    let panicked = ended.is_err();
    let end = world.end();
    let mut lines = vec![format!("seed {seed}: {}", end.shape)];
    let concerned = end
        .violation
        .as_ref()
        .and_then(|violation| violation.element);
    match concerned {
        Some((session, sequence)) if !everything => {
            lines.extend(
                end.story
                    .of(session, sequence)
                    .iter()
                    .map(ToString::to_string),
            );
        }
        _ => lines.extend(end.story.lines.iter().map(ToString::to_string)),
    }
    if let Some(violation) = &end.violation {
        lines.push(format!("broken: {}", violation.text));
        lines.push(end.element);
    }
    if panicked {
        lines.push("a machine panicked here".into());
    }
    lines
}
