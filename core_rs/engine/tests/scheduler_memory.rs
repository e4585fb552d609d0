//! What a queued task costs the scheduler, by an allocator that counts.

#[path = "../benches/scheduler/bytes.rs"]
mod bytes;
#[allow(dead_code)] // the benches use the rest
#[path = "../benches/scheduler/workload.rs"]
mod workload;

use workload::{Cluster, Shape};

#[global_allocator]
static BYTES: bytes::Counting = bytes::Counting;

const TASKS: u64 = 100_000;

/// Beyond its payload. One test alone counts, for all threads of a process share the count.
fn bytes_a_task(shape: Shape) -> f64 {
    let mut cluster = Cluster::new();
    let before = bytes::live();
    cluster.accept(shape.submissions(TASKS));
    (bytes::live() - before) as f64 / TASKS as f64
}

#[test]
fn a_queued_task_costs_at_most_300_bytes_and_an_element_of_a_map_8() {
    assert!(bytes_a_task(Shape::One) <= 300.0);
    assert!(bytes_a_task(Shape::Batch) <= 300.0);
    assert!(bytes_a_task(Shape::Map) <= 8.0);
}
