//! A day of bursty load under each scaling policy, in virtual time: the figures and the table of `docs/scaling.md`.
//!
//!     cargo run --release -p scaler-engine --example day -- docs
//!
//! Without the folder it prints the table. A test compares what is there with what comes out.

use std::path::Path;

mod cluster;
mod load;
mod plot;
mod policies;
mod random;
mod report;
mod run;

fn main() -> std::io::Result<()> {
    let days: Vec<run::Day> = policies::policies().into_iter().map(run::run).collect();
    let table = report::table(&days);
    let Some(docs) = std::env::args().nth(1) else {
        print!("{table}");
        return Ok(());
    };
    let docs = Path::new(&docs);
    for (name, plot) in plot::all(&days) {
        std::fs::write(docs.join(name), plot)?;
    }
    let page = docs.join("scaling.md");
    let text = std::fs::read_to_string(&page)?;
    std::fs::write(page, report::replaced(&text, &table))
}
