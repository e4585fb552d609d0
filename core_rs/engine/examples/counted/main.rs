//! Fixed work for counting instructions: `counted WORKLOAD TIMES`. `benches/instructions.py` runs it.
//!
//! Everything here is the same at each run, so that two counts of one workload differ by what `TIMES` says.

mod fleet;
mod path;

use fleet::Fleet;
use path::Path;

/// Name, slots of the node, elements of a unit and of a block.
const PATHS: [(&str, u32, u32, u32); 5] = [
    ("round_trip", 2, 1, 1),
    ("submits", 2, 256, 256),
    ("single_blocks", 2, 64, 1),
    ("map", 2, 8_192, 4_096),
    ("wide_map", 64, 8_192, 256),
];
/// Name, nodes, tasks that wait.
const FLEETS: [(&str, u64, u64); 5] = [
    ("nodes_10", 10, 2_000),
    ("nodes_100", 100, 2_000),
    ("nodes_1000", 1_000, 2_000),
    ("queue_1000", 100, 1_000),
    ("queue_100000", 100, 100_000),
];
/// Before it is counted: what the engines learn of the function, and what grows once.
const WARM_UP: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, times] = &arguments[..] else {
        panic!("counted WORKLOAD TIMES");
    };
    let times: usize = times.parse().expect("a number");
    let path = PATHS.into_iter().find(|(known, ..)| known == name);
    let fleet = FLEETS.into_iter().find(|(known, ..)| known == name);
    let finished = match (path, fleet) {
        (Some((_, slots, elements, per_block)), _) => {
            let mut path = Path::new(slots);
            (0..WARM_UP + times).for_each(|_| path.run(elements, per_block));
            path.finished
        }
        (None, Some((_, nodes, queued))) => {
            let mut fleet = Fleet::new(nodes, queued);
            (0..WARM_UP + times).for_each(|_| fleet.turn());
            fleet.finished
        }
        (None, None) => panic!("{name} is no workload"),
    };
    println!("{finished} elements");
}
