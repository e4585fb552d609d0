//! How well work is spread, in virtual time: exact, so it may be asserted.
//!
//! The bar is of the list (see `scaler_sim::balance`): nobody without foresight can beat that. Where the list reaches
//! the bound, so must we.

use scaler_sim::balance::{run, Case, Outcome, CASES};
use scaler_sim::queue::MILLISECOND;

const SIZES: [(usize, u32); 3] = [(2, 4), (10, 8), (20, 1)];
const BAR: f64 = 0.97;

fn shares(outcome: &Outcome) -> (f64, f64) {
    let of = |best: u64| best as f64 / outcome.makespan as f64;
    (of(outcome.bound), of(outcome.list))
}

/// Each case whose name begins so, on clusters of each size.
fn holds(name: &str, bar: f64, also: impl Fn(&Case, &Outcome)) {
    let mut cases = CASES
        .iter()
        .filter(|case| case.name.starts_with(name))
        .peekable();
    assert!(cases.peek().is_some(), "there is no case {name}");
    for case in cases {
        for (nodes, slots) in SIZES {
            let case = Case {
                lasts: 1_000 * MILLISECOND,
                ..*case
            };
            let outcome = run(&case, &case.sites(nodes, slots));
            let (bound, list) = shares(&outcome);
            let told = format!(
                "{}, {nodes} x {slots}: {bound:.4} of the bound, {list:.4} of the list, {:?}",
                case.name,
                outcome.idle()
            );
            println!("{told}");
            assert!(list >= bar, "{told}");
            let reachable = outcome.bound as f64 >= 0.995 * outcome.list as f64;
            assert!(!reachable || bound >= bar, "{told}");
            also(&case, &outcome);
        }
    }
}

fn nothing_else(_: &Case, _: &Outcome) {}

#[test]
fn equal_tasks_of_a_millisecond_fill_all_slots() {
    holds("1 ms", 0.98, nothing_else);
}

#[test]
fn equal_tasks_of_ten_milliseconds_fill_all_slots() {
    holds("10 ms", 0.99, nothing_else);
}

#[test]
fn a_heavy_tail_is_spread() {
    holds("Pareto", BAR, nothing_else);
}

#[test]
fn few_tasks_that_are_a_hundred_times_as_long_are_spread() {
    holds("1 % x 100", BAR, nothing_else);
}

#[test]
fn the_longest_task_submitted_last_starts_when_its_turn_comes() {
    holds("longest last", BAR, nothing_else);
}

#[test]
fn tasks_of_larger_priority_go_first() {
    holds("priorities", BAR, |case, outcome| {
        // What was under way before the others came.
        let most = 80;
        let inversions = outcome.inversions;
        assert!(inversions <= most, "{}: {inversions} ‰ of pairs", case.name);
    });
}

#[test]
fn a_node_that_comes_late_gets_its_share() {
    holds("late node", BAR, nothing_else);
}

#[test]
fn a_slow_node_gets_what_it_can_do() {
    holds("slow node", BAR, nothing_else);
}

/// Each submitted task of a fifth of a millisecond costs its executor a twentieth of that, whoever spreads it.
#[test]
fn what_was_short_for_long_and_is_long_now_is_spread() {
    holds("liars, map", BAR, nothing_else);
    holds("liars, submit", 0.96, nothing_else);
}

#[test]
fn what_is_long_at_the_very_end_waits_behind_nothing_long() {
    holds("surprise, map", 0.95, nothing_else);
}

#[test]
fn what_is_short_and_long_by_turns_is_spread() {
    holds("moods", BAR, nothing_else);
}

/// Of tasks of ten milliseconds each is one frame and one turn of the agent: it is not looked at in between.
#[test]
fn a_task_of_ten_milliseconds_wakes_its_agent_once() {
    for case in CASES.iter().filter(|case| case.name.starts_with("10 ms")) {
        let case = Case {
            lasts: 500 * MILLISECOND,
            ..*case
        };
        let outcome = run(&case, &case.sites(1, 1));
        let elements = outcome.runs.len() as u64;
        assert!(
            outcome.frames <= elements + 2,
            "{}: {} frames",
            case.name,
            outcome.frames
        );
        // Of the scheduler's answers comes a turn as well, as the node is not in its loop here.
        assert!(
            outcome.turns <= 2 * elements + 20,
            "{}: {} turns",
            case.name,
            outcome.turns
        );
    }
}
