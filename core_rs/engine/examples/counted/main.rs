//! Fixed work for counting instructions: `counted WORKLOAD TIMES`. `benches/instructions.py` runs it.
//!
//! Everything here is the same at each run, so that two counts of one workload differ by what `TIMES` says.

mod path;

use path::Path;

type Workload = fn(&mut Path);

/// Name, slots of the node, what is done each time.
const WORKLOADS: [(&str, u32, Workload); 5] = [
    ("round_trip", 2, |path| path.run(1, 1)),
    ("submits", 2, |path| path.run(256, 256)),
    ("single_blocks", 2, |path| path.run(64, 1)),
    ("map", 2, |path| path.run(8_192, 4_096)),
    ("wide_map", 64, |path| path.run(8_192, 256)),
];
/// Before it is counted: what the engines learn of the function, and what grows once.
const WARM_UP: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, times] = &arguments[..] else {
        panic!("counted WORKLOAD TIMES");
    };
    let times: usize = times.parse().expect("a number");
    let (_, slots, workload) = WORKLOADS
        .into_iter()
        .find(|(known, ..)| known == name)
        .expect("the name of a workload");
    let mut path = Path::new(slots);
    (0..WARM_UP + times).for_each(|_| workload(&mut path));
    println!("{} elements", path.finished);
}
