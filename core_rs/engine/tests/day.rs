//! The figures of `docs/scaling.md` are what the machine does: `cargo run -p scaler-engine --example day -- docs`.

use std::path::Path;
use std::sync::OnceLock;

#[path = "../examples/day/cluster.rs"]
mod cluster;
#[path = "../examples/day/load.rs"]
mod load;
#[path = "../examples/day/plot.rs"]
mod plot;
#[path = "../examples/day/policies.rs"]
mod policies;
#[path = "../examples/day/random.rs"]
mod random;
#[path = "../examples/day/report.rs"]
mod report;
#[path = "../examples/day/run.rs"]
mod run;

/// Once for all tests.
fn days() -> &'static [run::Day] {
    static DAYS: OnceLock<Vec<run::Day>> = OnceLock::new();
    DAYS.get_or_init(|| policies::policies().into_iter().map(run::run).collect())
}

fn read(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    std::fs::read_to_string(docs.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_day_of_the_documentation_is_what_comes_out() {
    let page = read("scaling.md");
    assert_eq!(page, report::replaced(&page, &report::table(days())));
    for (name, plot) in plot::all(days()) {
        assert!(read(&name) == plot, "{name} is of another machine");
    }
}

#[test]
fn every_policy_beats_one_worker_a_heartbeat() {
    let of = |name: &str| days().iter().find(|day| day.name == name).expect(name);
    let naive = of("naive");
    let middle = |day: &run::Day| day.drained[day.drained.len() / 2];
    for name in ["vanilla", "capability", "fixed_elastic", "waterfall_v1"] {
        let day = of(name);
        assert!(middle(day) * 10 < middle(naive), "{name}");
        // What begins again was at units that died, never at those that were ended.
        assert!(day.account.again * 20 < naive.account.again, "{name}");
    }
}
