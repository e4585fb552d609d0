//! The world of many nodes, made small: each task has one outcome, and slots are not left idle while tasks wait.

use scaler_sim::scale::{Shape, World};

#[test]
fn many_slots_are_kept_busy_until_no_task_waits() {
    let found = World::new(Shape {
        nodes: 40,
        slots: 8,
        tasks: 6_400,
        shortest: 5_000_000,
        longest: 15_000_000,
    })
    .run();
    assert_eq!(found.outcomes, 6_400);
    assert!(found.busy > 0.99, "{found:?}");
    // Twenty of 10 s a slot, and at most one of 15 s after all others.
    assert!(found.makespan >= found.bound, "{found:?}");
    assert!(found.makespan < found.bound + 15_000_000, "{found:?}");
}
