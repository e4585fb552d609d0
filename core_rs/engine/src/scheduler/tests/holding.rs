//! A scheduler that forgot, and peers whose link began anew.

use super::rig::*;
use crate::scheduler::SchedulerConfig;
use crate::wire::{Message, Options, OutcomeKind};

const RESYNC: u64 = 5_000_000;

fn forgetful() -> Rig {
    Rig::with(SchedulerConfig {
        resync_us: RESYNC,
        ..SchedulerConfig::default()
    })
}

fn returning(rig: &mut Rig, link: u64, slots: u32, ranges: &[(u64, u64)]) {
    rig.join_node(link, slots, &[], 11, 3);
    rig.hold(link, ranges);
}

fn cancels(rig: &mut Rig, link: u64) -> Vec<(u64, u64)> {
    let told = rig.told(link).into_iter();
    told.filter_map(|message| match message {
        Message::CancelElements { range } => Some((range.first, range.count)),
        _ => None,
    })
    .collect()
}

#[test]
fn nothing_is_placed_before_the_resync_is_over() {
    let mut rig = forgetful();
    rig.client(CLIENT, SESSION);
    rig.node(10, 4);
    rig.submit(0, 2);
    assert_eq!(rig.assigned_count(10), 0);
    assert_eq!(rig.scheduler.next_wakeup(), Some(1_000 + RESYNC));
    rig.pass(RESYNC);
    assert_eq!(rig.assigned_count(10), 2);
}

#[test]
fn what_a_node_holds_waits_for_its_client_and_runs_once() {
    let mut rig = forgetful();
    returning(&mut rig, 10, 4, &[(2, 3)]);
    rig.client(CLIENT, SESSION);
    rig.submit(0, 6);
    rig.pass(RESYNC);
    assert_eq!(rig.assigned(10), [(0, 2), (5, 1)]);
    rig.done(10, 2, 3, 5);
    assert_eq!(rig.outcomes(CLIENT), [(2, 3, OutcomeKind::ValueTable)]);
    assert!(rig.ended.is_empty());
}

#[test]
fn a_node_that_comes_after_its_client_keeps_what_it_runs() {
    let mut rig = forgetful();
    rig.client(CLIENT, SESSION);
    rig.submit(0, 4);
    returning(&mut rig, 10, 4, &[(1, 1)]);
    rig.pass(RESYNC);
    assert_eq!(rig.assigned(10), [(0, 1), (2, 2)]);
}

#[test]
fn an_outcome_that_comes_before_its_client_is_kept_for_it() {
    let mut rig = forgetful();
    returning(&mut rig, 10, 4, &[(1, 1)]);
    rig.done(10, 0, 1, 5);
    rig.done(10, 1, 1, 5);
    rig.client(CLIENT, SESSION);
    rig.submit(0, 3);
    let value = OutcomeKind::ValueTable;
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, value), (1, 1, value)]);
    rig.pass(RESYNC);
    assert_eq!(rig.assigned(10), [(2, 1)]);
}

#[test]
fn what_an_earlier_scheduler_took_from_a_node_is_not_a_clients_cancellation() {
    let mut rig = forgetful();
    returning(&mut rig, 10, 4, &[(1, 1)]);
    rig.client(CLIENT, SESSION);
    rig.submit(0, 2);
    rig.end(10, 1, OutcomeKind::Cancelled);
    assert_eq!(rig.outcomes(CLIENT), []);
    rig.pass(RESYNC);
    assert_eq!(rig.assigned(10), [(0, 2)]);
}

#[test]
fn an_exception_that_is_told_again_in_a_new_epoch_is_the_same_one() {
    let mut rig = Rig::new();
    rig.client(CLIENT, SESSION);
    rig.node(10, 1);
    let retries = Options {
        retries: 1,
        ..Options::default()
    };
    rig.submit_with(0, 1, retries);
    rig.end(10, 0, OutcomeKind::Exception);
    // Its connection broke before it heard that the scheduler has this.
    rig.leave(10);
    returning(&mut rig, 10, 1, &[]);
    rig.give_back(10, &[(0, 1)]);
    rig.leave(10);
    rig.join_node(10, 1, &[], 11, 3);
    rig.end(10, 0, OutcomeKind::Exception);
    assert_eq!(rig.outcomes(CLIENT), []);
    rig.hold(10, &[]);
    rig.told(10);
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, OutcomeKind::ValueTable)]);
}

#[test]
fn what_nobody_claims_is_cancelled_at_the_end_of_the_resync() {
    let mut rig = forgetful();
    returning(&mut rig, 10, 1, &[(7, 2)]);
    rig.pass(RESYNC);
    assert_eq!(cancels(&mut rig, 10), [(7, 2)]);
    rig.client(CLIENT, SESSION);
    rig.submit(7, 2);
    assert_eq!(rig.assigned_count(10), 0);
    rig.end(10, 7, OutcomeKind::Cancelled);
    rig.end(10, 8, OutcomeKind::Cancelled);
    assert_eq!(rig.assigned_count(10), 2);
    assert!(rig.outcomes(CLIENT).is_empty());
}

#[test]
fn a_node_that_holds_orphans_and_dies_leaves_nothing_behind() {
    let mut rig = forgetful();
    returning(&mut rig, 10, 4, &[(1, 2), (5, 1)]);
    rig.leave(10);
    rig.client(CLIENT, SESSION);
    rig.submit(0, 6);
    rig.node(11, 8);
    rig.pass(RESYNC);
    assert_eq!(rig.assigned_count(11), 6);
}

#[test]
fn without_a_resync_what_nobody_knows_is_cancelled_at_once() {
    let mut rig = Rig::new();
    returning(&mut rig, 10, 1, &[(7, 2)]);
    assert_eq!(cancels(&mut rig, 10), [(7, 2)]);
}

#[test]
fn a_node_whose_link_began_anew_keeps_what_nobody_else_has() {
    let mut rig = Rig::new();
    rig.node(10, 2);
    rig.submit(0, 2);
    rig.node(11, 1);
    rig.leave(10);
    assert_eq!(rig.assigned(11), [(0, 1)]);
    rig.told(10);
    returning(&mut rig, 10, 2, &[(0, 2)]);
    assert_eq!(cancels(&mut rig, 10), [(0, 1)]);
    rig.done(10, 1, 1, 5);
    assert_eq!(rig.outcomes(CLIENT), [(1, 1, OutcomeKind::ValueTable)]);
}

#[test]
fn the_death_of_a_node_that_lives_after_all_is_no_attempt() {
    let mut rig = Rig::new();
    rig.submit(0, 1);
    for _ in 0..5 {
        rig.join_node(10, 1, &[], 11, 7);
        rig.hold(10, &[(0, 1)]);
        rig.report_running(10, &[0]);
        rig.leave(10);
    }
    assert!(rig.failures(CLIENT).is_empty());
}

#[test]
fn an_outcome_from_before_the_link_began_anew_counts_while_nobody_else_has_the_element() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.leave(10);
    returning(&mut rig, 10, 1, &[]);
    rig.told(10);
    rig.scheduler.disconnected(rig.now, 10);
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.outcomes(CLIENT), [(0, 1, OutcomeKind::ValueTable)]);
}

#[test]
fn a_client_that_begins_anew_by_another_link_claims_what_runs() {
    let mut rig = Rig::new();
    rig.node(10, 1);
    rig.submit(0, 1);
    rig.told(10);
    assert!(rig.join_client(2, SESSION).is_err(), "it is connected");
    rig.scheduler.disconnected(rig.now, CLIENT);
    rig.client(2, SESSION);
    assert_eq!(rig.ended[0].0, CLIENT);
    rig.say(2, array(0, 1, Default::default()));
    assert_eq!(rig.assigned_count(10), 0);
    rig.done(10, 0, 1, 5);
    assert_eq!(rig.outcomes(2), [(0, 1, OutcomeKind::ValueTable)]);
}
