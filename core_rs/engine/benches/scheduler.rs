//! One million queued no-op tasks through the scheduler: time a task of each stage, and bytes a queued task.
//!
//! `cargo bench -p scaler-engine --bench scheduler`; the bytes are printed first.

#[path = "scheduler/bytes.rs"]
mod bytes;
#[path = "scheduler/workload.rs"]
mod workload;

use std::time::{Duration, Instant};

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};

use workload::{Cluster, Shape, TASKS};

#[global_allocator]
static BYTES: bytes::Counting = bytes::Counting;

const SHAPES: [Shape; 3] = [Shape::One, Shape::Batch, Shape::Map];

fn print_bytes() {
    for shape in SHAPES {
        let mut cluster = Cluster::new();
        let before = bytes::live();
        // Its payloads are slices of one kibibyte, so what is alive afterwards is the scheduler's own.
        cluster.accept(shape.submissions(TASKS));
        let kept = bytes::live() - before;
        println!(
            "{shape:?}: {:.1} bytes a queued task beyond its payload",
            kept as f64 / TASKS as f64
        );
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Accept,
    Assign,
    Done,
}

/// How long one stage takes for all tasks, the others done beside it.
fn time(shape: Shape, stage: Stage) -> Duration {
    let work = shape.submissions(TASKS);
    let mut cluster = Cluster::new();
    let begin = Instant::now();
    cluster.accept(work);
    let accepted = begin.elapsed();
    let begin = Instant::now();
    let messages = cluster.assign();
    let assigned = begin.elapsed();
    drop(messages);
    let outcomes = shape.outcomes();
    let begin = Instant::now();
    cluster.done(outcomes);
    let done = begin.elapsed();
    assert!(cluster.is_empty());
    match stage {
        Stage::Accept => accepted,
        Stage::Assign => assigned,
        Stage::Done => done,
    }
}

fn stages(criterion: &mut Criterion) {
    print_bytes();
    for stage in [Stage::Accept, Stage::Assign, Stage::Done] {
        let mut group = criterion.benchmark_group(format!("scheduler {stage:?}"));
        group
            .throughput(Throughput::Elements(TASKS))
            .sample_size(10)
            .warm_up_time(Duration::from_millis(1));
        for shape in SHAPES {
            group.bench_function(
                BenchmarkId::from_parameter(format!("{shape:?}")),
                |bencher| {
                    bencher.iter_custom(|times| (0..times).map(|_| time(shape, stage)).sum());
                },
            );
        }
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
