//! Each planted mistake is found: `cargo test -p scaler-sim --release --features planted --test planted -- --nocapture`.
#![cfg(feature = "planted")]

use scaler_sim::bug::{Bug, BUGS};
use scaler_sim::profile::Kind;
use scaler_sim::runner;

const MOST_SEEDS: u64 = 2_000;

fn is_found(bug: Bug) {
    is_found_in(Kind::Nodes, bug);
}

fn is_found_in(kind: Kind, bug: Bug) {
    let name = BUGS
        .iter()
        .find(|(_, known)| *known == bug)
        .map_or("", |(name, _)| name);
    runner::keep_panics_quiet();
    let found = (0..MOST_SEEDS).find_map(|seed| runner::run(kind, seed, Some(bug)).err());
    let failure = found.unwrap_or_else(|| panic!("{name} was not found in {MOST_SEEDS} seeds"));
    assert!(
        runner::run(kind, failure.seed, None).is_ok(),
        "seed {} fails without {name} too",
        failure.seed
    );
    println!("{name} is found at seed {}: {}", failure.seed, failure.text);
}

#[test]
fn a_forgotten_acknowledgement_is_found() {
    is_found(Bug::ForgetAcknowledgement);
}

#[test]
fn a_skipped_give_back_is_found() {
    is_found(Bug::SkipGiveBack);
}

#[test]
fn a_counted_attempt_that_never_started_is_found() {
    is_found(Bug::CountUnstarted);
}

#[test]
fn a_delivered_result_of_a_cancelled_task_is_found() {
    is_found(Bug::DeliverCancelled);
}

#[test]
fn a_resend_without_its_sequence_is_found() {
    is_found(Bug::ResendWithoutSequence);
}

#[test]
fn a_slot_that_is_not_given_back_is_found() {
    is_found(Bug::IgnoreWaiting);
}

#[test]
fn a_value_that_goes_before_its_last_user_is_found() {
    is_found(Bug::LetGoEarly);
}

#[test]
fn a_start_before_its_intent_is_durable_is_found() {
    is_found_in(Kind::Managers, Bug::SkipIntent);
}

#[test]
fn a_forgotten_group_of_an_unknown_outcome_is_found() {
    is_found_in(Kind::Managers, Bug::ForgetUnknown);
}

#[test]
fn a_neighbour_that_is_ended_too_is_found() {
    is_found_in(Kind::Managers, Bug::ShutdownTwiceNamed);
}

#[test]
fn a_start_while_the_first_is_under_way_is_found() {
    is_found_in(Kind::Managers, Bug::DoubleStart);
}

#[test]
fn a_busy_group_that_is_ended_is_found() {
    is_found_in(Kind::Managers, Bug::RetireBusy);
}

#[test]
fn groups_that_start_and_are_not_counted_are_found() {
    is_found_in(Kind::Managers, Bug::ForgetStarting);
}

#[test]
fn a_reported_group_that_is_passed_over_is_found() {
    is_found_in(Kind::Managers, Bug::DropAdopted);
}
